"""Other services' events in one line, for whoever reads a ticket's log."""

from datetime import UTC, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1 import events_pb2 as notify
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.words import word

_LONGEST = 500


def summary(message: Any, came: str = "") -> str:
    """What an event tells, as far as one line can, and what `came` of it; never empty."""
    match message:
        case (
            routing.TicketAssigned()
            | routing.TicketQueued()
            | routing.TicketReleased()
            | routing.TriageSuggested()
        ):
            line = _of_routing(message)
        case notify.NotificationDelivered() | notify.NotificationFailed():
            line = _of_notify(message)
        case kb.DuplicateSuspected() | kb.IssueRepeated():
            line = _of_kb(message)
        case sla.ClockStarted() | sla.ClockPaused() | sla.ClockResumed():
            line = _of_clock(message)
        case _:
            line = _of_sla(message)
    return (f"{line}: {came}" if came else line)[:_LONGEST]


def _of_routing(message: Any) -> str:
    assignment = message.assignment
    why = f": {assignment.why}" if assignment.why else ""
    match message:
        case routing.TicketAssigned():
            before = message.previous_agent
            instead = f" instead of {_agent(before)}" if message.HasField("previous_agent") else ""
            return f"{_agent(assignment.agent)} in {assignment.team or 'no team'}{instead}{why}"
        case routing.TicketQueued():
            queue = f"waits in queue {assignment.queue or assignment.team or 'of nobody'}"
            moved = f", before with {message.previous_team}" if message.previous_team else ""
            return f"{queue}{moved}{why}"
        case routing.TicketReleased():
            who = _agent(message.previous_agent) if message.HasField("previous_agent") else ""
            reason = _spaced(word(routing.ReleaseReason, message.reason)) or "for no reason given"
            return f"{f'no longer with {who}' if who else 'waits no longer'}, {reason}{why}"
        case _:
            found = "; ".join(map(_suggestion, message.suggestions))
            return f"suggests {found}" if found else "suggests nothing"


def _suggestion(suggestion: routing.TriageSuggestion) -> str:
    match suggestion.WhichOneof("value"):
        case "type":
            value = f"type {word(words.TicketType, suggestion.type) or '?'}"
        case "priority":
            value = f"priority {word(words.Priority, suggestion.priority) or '?'}"
        case "language":
            value = f"language {suggestion.language}"
        case "tag":
            value = f"tag {suggestion.tag}"
        case _:
            value = "something new"
    why = f", {suggestion.why}" if suggestion.why else ""
    return f"{value} ({suggestion.confidence:.0%} sure{why})"


def _of_notify(message: Any) -> str:
    delivery = message.delivery
    channel = word(delivery_pb2.DeliveryChannel, delivery.channel)
    tries = f" at attempt {delivery.attempts}" if delivery.attempts > 1 else ""
    line = f"{delivery.template or 'message'} to {delivery.recipient or 'nobody'}"
    line += f" by {channel}" if channel else ""
    if isinstance(message, notify.NotificationFailed):
        return f"{line} given up{tries}: {message.reason or 'for no reason given'}"
    return f"{line}{tries}"


def _of_kb(message: Any) -> str:
    if isinstance(message, kb.IssueRepeated):
        before = ", ".join(one.number or one.ticket_id for one in message.earlier)
        span = f" within {_span(message.window)}" if message.HasField("window") else ""
        return f"{message.count} times{span}" + (f", before as {before}" if before else "")
    found = ", ".join(
        f"{one.number or one.ticket_id} "
        + ("(the same text)" if one.same_text else f"({one.similarity:.0%})")
        for one in message.candidates
    )
    return f"like {found or 'no other'}"


def _of_clock(message: Any) -> str:
    clock = message.clock
    due = "".join(
        f", {_kind(target.kind)} due {_time(target, 'due_at')}"
        for target in clock.targets
        if target.state in _OPEN
    )
    match message:
        case sla.ClockStarted():
            reason = word(sla.StartReason, message.reason)
            begun = "deadlines set anew" if reason in ("recomputed", "redated") else "started"
            policy = f" by policy {clock.policy_id}" if clock.policy_id else " by no policy"
            version = f" version {clock.policy_version}" if clock.policy_version else ""
            return f"{begun}{policy}{version}{due}"
        case sla.ClockPaused():
            return _spaced(word(sla.PauseReason, message.reason)) or "for no reason given"
        case _:
            return f"after {_span(message.paused_for)}{due}"


_OPEN = (
    words.TARGET_STATE_RUNNING,
    words.TARGET_STATE_AT_RISK,
    words.TARGET_STATE_PAUSED,
)


def _of_sla(message: Any) -> str:
    line = "happened"
    match message:
        case sla.TargetAtRisk():
            left = f", {_span(message.remaining)} left"
            line = f"{_kind(message.kind)} at {message.share:.0%}{left}{_due(message)}"
        case sla.TargetBreached():
            line = f"{_kind(message.kind)}{_due(message)}"
        case sla.BreachRetracted():
            met = f", met {_time(message, 'met_at')}" if message.HasField("met_at") else ""
            line = f"{_kind(message.kind)}{_due(message)}{met}"
        case sla.TargetMet():
            line = f"{_kind(message.kind)} {_left(message)}"
        case sla.TicketEscalated():
            line = _escalation(message)
        case sla.FollowUpDue():
            kind = word(words.FollowUpKind, message.kind) or f"follow-up {message.kind}"
            line = f"{_spaced(kind)} in episode {message.episode}"
    return line


def _left(message: sla.TargetMet) -> str:
    """How much working time was left when a target was met, or how late it was."""
    for target in message.clock.targets:
        if target.kind == message.kind and target.HasField("allowed"):
            seconds = target.allowed.seconds - message.elapsed.seconds
            span = _span(Duration(seconds=abs(seconds)))
            return f"{span} late" if message.late or seconds < 0 else f"with {span} left"
    return "late" if message.late else f"after {_span(message.elapsed)}"


def _escalation(message: sla.TicketEscalated) -> str:
    level = word(words.EscalationLevel, message.level)
    before = word(words.EscalationLevel, message.previous_level)
    teams = ", ".join(message.teams)
    to = f"to {level or teams or 'nobody'}"
    if level and teams not in ("", level):
        to += f" ({teams})"
    trigger = _spaced(word(sla.EscalationTrigger, message.trigger))
    why = [
        f"before {before}" if before else "",
        " ".join(filter(None, (word(words.TargetKind, message.target), trigger))),
        f"rung {message.rung}" if message.rung else "",
    ]
    return ", ".join(filter(None, (to, *why)))


def _due(message: Any) -> str:
    return f", due {_time(message, 'due_at')}" if message.HasField("due_at") else ""


def _agent(agent: Any) -> str:
    return agent.name or agent.email or agent.id or "somebody"


def _kind(kind: words.TargetKind.ValueType) -> str:
    # A number of the future has no word yet.
    return _spaced(word(words.TargetKind, kind)) or f"target {kind}"


def _spaced(text: str) -> str:
    return text.replace("_", " ")


def _time(message: Message, field: str) -> str:
    try:
        return f"{getattr(message, field).ToDatetime(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return "at no time that a calendar has"


def _span(span: Duration) -> str:
    """The two largest parts of a span, such as `2 h 5 min`."""
    try:
        seconds = round(span.ToTimedelta() / timedelta(seconds=1))
    except (ValueError, OverflowError):
        return "no time that can be counted"
    parts = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    found: list[str] = []
    rest = abs(seconds)
    for size, unit in parts:
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not found):
            found.append(f"{count} {unit}")
    return ("-" if seconds < 0 else "") + " ".join(found[:2])
