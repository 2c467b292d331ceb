"""Spans from the OTLP JSON lines that the services write where there is no collector."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of work of one process."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    started_at: datetime
    seconds: float
    failed: bool
    attributes: dict[str, Any]

    @property
    def message_id(self) -> str:
        """The event it handled, empty when it handled none."""
        return str(self.attributes.get("messaging.message.id", ""))

    @property
    def handles(self) -> bool:
        """Whether it is a consumer's work on one message."""
        return self.attributes.get("messaging.operation.type") == "process"


def read(folder: Path, trace_ids: Iterable[str]) -> list[Span]:
    """The spans of these traces under a data folder, in the order they began."""
    wanted = {trace_id.encode() for trace_id in trace_ids if trace_id}
    found: dict[tuple[str, str], Span] = {}
    for path in sorted(folder.glob("telemetry/*.traces.jsonl*")) if wanted else ():
        if path.suffix == ".lock":
            continue
        with path.open("rb") as lines:
            for line in lines:
                # Most lines hold other traces, and looking is cheaper than decoding.
                if any(trace_id in line for trace_id in wanted):
                    found |= {
                        (span.trace_id, span.span_id): span
                        for span in _decoded(line)
                        if span.trace_id.encode() in wanted
                    }
    return sorted(found.values(), key=lambda span: span.started_at)


def _decoded(line: bytes) -> Iterator[Span]:
    try:
        request = json.loads(line)
    except ValueError:
        # The last line of a process that was killed.
        return
    for resource in request.get("resourceSpans", ()):
        service = _attributes(resource.get("resource", {})).get("service.name", "?")
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield _span(span, str(service))


def _span(span: dict[str, Any], service: str) -> Span:
    began, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        service=service.removeprefix("waybill-"),
        name=span["name"],
        started_at=datetime.fromtimestamp(began / 1e9, UTC),
        seconds=(ended - began) / 1e9,
        failed=span.get("status", {}).get("code") == 2,
        attributes=_attributes(span),
    )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {
        item["key"]: next(iter(item.get("value", {"": ""}).values()), "")
        for item in holder.get("attributes", ())
    }
