"""A journey on the terminal, within 100 columns."""

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import typer

from waybill_cli.trace.journey import Journey, Step, Trace
from waybill_cli.trace.sources import Json

WIDTH = 100
_INDENT = 44
# A trace of a batch holds more than a terminal should show; JSON has it all.
_MOST_SPANS = 40
_TARGETS = ("response", "resolution", "next_response", "update")
_ISO = re.compile(r"(-)?P(?:([\d.]+)D)?(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?")
_OPEN = ("running", "at_risk", "paused")


def print_journey(journey: Journey) -> None:
    """Print it: the ticket, its events, who has it, its clock, its deliveries, its traces."""
    for line in lines(journey):
        typer.echo(line)


def lines(journey: Journey) -> Iterator[str]:
    """The lines, none longer than 100 characters and none with control characters."""
    for line in _lines(journey):
        yield "".join(sign if sign.isprintable() else " " for sign in line)


def _lines(journey: Journey) -> Iterator[str]:
    told = journey.told
    yield from _ticket(told.ticket, told.ticket_id)
    yield ""
    for service, why in told.away.items():
        yield from _folded(f"{service} is away, its part is missing: {why}", 2)
    for step in journey.steps:
        yield from _step(step)
    if not journey.steps and "intake" not in told.away:
        yield "nothing in the log yet"
    if told.assignment:
        yield from _section("assignment", _assignment(told.assignment))
    if told.sla:
        yield from _section("clock", _sla(told.sla))
    if told.deliveries:
        yield from _section("deliveries", _deliveries(told.deliveries))
    if journey.traces:
        yield ""
        yield "traces"
        for trace in journey.traces:
            yield from _trace(trace)


def _ticket(ticket: Json | None, id: str) -> Iterator[str]:
    if ticket is None:
        yield f"ticket {id}"
        return
    words = [ticket[name] for name in ("product", "type", "priority", "status")]
    reason = f" ({ticket['close_reason']})" if ticket.get("close_reason") else ""
    yield _cut(f"{ticket['number']}  {', '.join(words)}{reason}: {ticket['title']}")
    person = (ticket.get("submitter") or {}).get("email") or "nobody in particular"
    yield _cut(f"for {person}")
    yield f"opened {_local(ticket['created_at'])}, id {ticket['id']}"


def _step(step: Step) -> Iterator[str]:
    head = f"{duration(step.after_seconds, '+'):>11}  {step.service:<8} {step.event:<22}"
    summary = step.summary or f"by {step.actor}"
    if step.actor and step.actor not in summary and not step.actor.startswith("Waybill"):
        summary = f"{summary} (by {step.actor})"
    first, *rest = textwrap.wrap(summary, WIDTH - _INDENT) or [""]
    yield f"{head:<{_INDENT}}{first}".rstrip()
    for line in rest:
        yield " " * _INDENT + line
    for handling in step.handled:
        failed = ", failed" if handling.failed else ""
        took = f"{duration(handling.after_seconds)} later, in {duration(handling.seconds)}{failed}"
        yield f"{'':>11}    -> {handling.service:<8} {took}"


def _section(title: str, content: Iterator[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in content:
        yield from _folded(line, 2)


def _assignment(found: Json) -> Iterator[str]:
    agent = found.get("agent") or {}
    who = agent.get("name") or found.get("state") or "nobody"
    since = f", since {_local(found['since'])}" if found.get("since") else ""
    yield f"{who} in {found.get('team') or 'no team'}{since}: {found.get('why') or ''}".rstrip(": ")


def _sla(found: Json) -> Iterator[str]:
    level = found.get("escalation_level")
    paused = _iso(found.get("paused") or "PT0S")
    yield (
        f"{found['state']} since {_local(found['started_at'])}, policy version "
        f"{found['policy_version']}"
        + (f", paused for {duration(paused)} in all" if paused else "")
        + (f", escalated to {level}" if level else "")
    )
    for kind in _TARGETS:
        if target := found.get(kind):
            left = (
                f", {duration(_iso(target['remaining']))} left" if target["state"] in _OPEN else ""
            )
            at = f" at {_local(target['stopped_at'])}" if target.get("stopped_at") else ""
            yield f"{kind:<14} {target['state']}{at}, due {_local(target['due_at'])}{left}"
    for segment in found.get("ledger") or ():
        until = _local(segment["ended_at"]) if segment.get("ended_at") else "now"
        yield (
            f"{segment['kind']:<14} {_local(segment['started_at'])} to {until}, "
            f"{segment.get('status') or '?'}"
        )


def _deliveries(found: Any) -> Iterator[str]:
    for one in found:
        took = ""
        if one.get("delivered_at"):
            seconds = _seconds(one["created_at"], one["delivered_at"])
            took = f" after {duration(seconds)}"
        attempts = one.get("attempts", 0)
        tries = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        yield (
            f"{one['template']:<14} {one['channel']} to {one['recipient']}: "
            f"{one['state']}{took}, {tries}"
        )
        if one.get("last_error"):
            yield f"{'':<14} last error: {one['last_error']}"
        for attempt in one.get("attempt_log") or ():
            spent = duration(_seconds(attempt["started_at"], attempt["ended_at"]))
            yield (
                f"{'':<14} attempt {attempt['number']} {_local(attempt['started_at'])}: "
                f"{attempt['outcome']} in {spent}, {attempt.get('detail') or ''}"
            ).rstrip(", ")


def _trace(trace: Trace) -> Iterator[str]:
    took = duration(trace.seconds)
    yield f"  {trace.trace_id}  {trace.events} events, {took} from first to last"
    # A statement is below what an operator asks for; JSON has them.
    shown = [
        (depth, span) for depth, span in trace.spans if "db.system.name" not in span.attributes
    ]
    for depth, span in shown[:_MOST_SPANS]:
        after = (span.started_at - trace.began).total_seconds()
        failed = " failed" if span.failed else ""
        head = f"{duration(after, '+'):>13} {duration(span.seconds):>8}"
        yield _cut(f"{head}  {'  ' * min(depth, 8)}{span.service} {span.name}{failed}")
    if len(shown) > _MOST_SPANS:
        yield f"{'':>24}and {len(shown) - _MOST_SPANS} more spans: --json shows all"


def duration(seconds: float, sign: str = "") -> str:
    """`3 ms`, `1.20 s`, `3 min 2 s`, `2 h 5 min`, `3 d 4 h`."""
    before = "-" if seconds < 0 else sign
    seconds = abs(seconds)
    if seconds < 0.9995:
        return f"{before}{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{before}{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{before}{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{before}{hours} h {minutes} min"
    return f"{before}{hours // 24} d {hours % 24} h"


def _iso(text: str) -> float:
    """Seconds of an ISO 8601 duration such as `P2DT3H0.5S`."""
    match = _ISO.fullmatch(text)
    if match is None:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return -total if match[1] else total


def _local(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _folded(text: str, indent: int) -> Iterator[str]:
    space = " " * indent
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space * 2, drop_whitespace=True,
        replace_whitespace=False, break_long_words=True,
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
