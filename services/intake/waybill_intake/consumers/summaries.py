"""Other services' events in one line, for whoever reads a ticket's log."""

from typing import Any

from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1 import events_pb2 as kb
from waybill.notify.v1 import events_pb2 as notify
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.words import word


def _target(message: Any) -> str:
    # A number of the future has no word yet.
    return word(words.TargetKind, message.kind) or f"target {message.kind}"


def summary(message: Any) -> str:
    """What an event tells, as far as one line can."""
    match message:
        case routing.TicketAssigned():
            line = f"{message.assignment.agent.name}: {message.assignment.why}"
        case routing.TicketQueued() | routing.TicketReleased():
            line = f"{message.assignment.team}: {message.assignment.why}"
        case routing.TriageSuggested():
            line = "; ".join(suggestion.why for suggestion in message.suggestions)
        case sla.TargetAtRisk():
            line = f"{_target(message)} at {message.share:.0%}"
        case sla.TargetBreached() | sla.BreachRetracted() | sla.TargetMet():
            line = _target(message) + (", late" if getattr(message, "late", False) else "")
        case sla.TicketEscalated():
            line = f"to {', '.join(message.teams)}" + (f" ({message.rung})" if message.rung else "")
        case sla.FollowUpDue():
            line = word(words.FollowUpKind, message.kind) or f"follow-up {message.kind}"
        case notify.NotificationDelivered() | notify.NotificationFailed():
            line = f"{message.delivery.template} to {message.delivery.recipient}"
            if isinstance(message, notify.NotificationFailed):
                line += f": {message.reason}"
        case kb.DuplicateSuspected():
            line = "like " + ", ".join(found.number for found in message.candidates)
        case kb.IssueRepeated():
            line = f"{message.count} times"
        case _:
            line = ""
    return line[:500]
