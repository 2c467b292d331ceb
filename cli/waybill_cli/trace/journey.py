"""What the services told, put into one order: pure, for printing and for JSON."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from waybill_cli.trace.sources import Json, Told
from waybill_cli.trace.spans import Span


@dataclass(frozen=True, slots=True)
class Handling:
    """One service's work on one event, as its span tells it."""

    service: str
    after_seconds: float
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One event of the log."""

    at: datetime
    after_seconds: float
    service: str
    event: str
    summary: str
    actor: str
    event_id: str
    trace_id: str | None
    handled: tuple[Handling, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace with its events, and the spans that handle no event, as (depth, span)."""

    trace_id: str
    events: int
    began: datetime
    seconds: float
    spans: tuple[tuple[int, Span], ...]


@dataclass(frozen=True, slots=True)
class Journey:
    """All of it."""

    told: Told
    steps: tuple[Step, ...]
    traces: tuple[Trace, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "ticket_id": self.told.ticket_id,
            "ticket": self.told.ticket,
            "steps": [{**asdict(step), "at": step.at.isoformat()} for step in self.steps],
            "assignment": self.told.assignment,
            "sla": self.told.sla,
            "deliveries": list(self.told.deliveries),
            "traces": [
                {
                    "trace_id": trace.trace_id,
                    "events": trace.events,
                    "seconds": trace.seconds,
                    "spans": [
                        {**asdict(span), "started_at": span.started_at.isoformat(), "depth": depth}
                        for depth, span in trace.spans
                    ],
                }
                for trace in self.traces
            ],
            "away": self.told.away,
        }


def trace_ids(told: Told) -> list[str]:
    """The traces the log and the deliveries name, in order of appearance."""
    named = [line.get("trace_id") for line in told.log]
    named += [
        attempt.get("trace_id")
        for delivery in told.deliveries
        for attempt in delivery.get("attempt_log", ())
    ]
    return list(dict.fromkeys(trace_id for trace_id in named if trace_id))


def build(told: Told, spans: Sequence[Span]) -> Journey:
    """The journey that was told, with durations where there are spans."""
    handlings: Mapping[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.handles and span.message_id:
            handlings[span.message_id].append(span)
    log = sorted(told.log, key=lambda line: _time(line["occurred_at"]))
    began = _time(log[0]["occurred_at"]) if log else None
    steps = tuple(_step(line, began or _time(line["occurred_at"]), handlings) for line in log)
    traces = (_trace(id, steps, [s for s in spans if s.trace_id == id]) for id in trace_ids(told))
    return Journey(told, steps, tuple(trace for trace in traces if trace is not None))


def _step(line: Json, began: datetime, handlings: Mapping[str, list[Span]]) -> Step:
    at = _time(line["occurred_at"])
    actor = line.get("actor") or {}
    return Step(
        at=at,
        after_seconds=(at - began).total_seconds(),
        service=line["source"].rsplit("/", 1)[-1],
        event=line["type"].rpartition(".")[2],
        summary=line.get("summary") or "",
        actor=actor.get("name") or actor.get("id") or actor.get("kind") or "",
        event_id=line["event_id"],
        trace_id=line.get("trace_id"),
        handled=tuple(
            Handling(
                service=span.service,
                after_seconds=(span.started_at - at).total_seconds(),
                seconds=span.seconds,
                failed=span.failed,
            )
            for span in handlings.get(line["event_id"], ())
        ),
    )


def _trace(id: str, steps: Sequence[Step], spans: Sequence[Span]) -> Trace | None:
    mine = [step for step in steps if step.trace_id == id]
    starts = [step.at for step in mine] + [span.started_at for span in spans]
    if not starts:
        return None
    began = min(starts)
    ends = [(step.at - began).total_seconds() for step in mine]
    ends += [(span.started_at - began).total_seconds() + span.seconds for span in spans]
    parents = {span.span_id: span.parent_id for span in spans}
    shown = [(_depth(span, parents), span) for span in spans if not span.handles]
    return Trace(
        trace_id=id,
        events=len(mine),
        began=began,
        seconds=max(ends),
        spans=tuple(shown),
    )


def _depth(span: Span, parents: Mapping[str, str]) -> int:
    depth, above = 0, span.parent_id
    while above in parents and depth < len(parents):
        depth, above = depth + 1, parents[above]
    return depth


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
