"""Protobuf <-> domain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.intake.v1 import ticket_pb2
from waybill.intake.v1.events_pb2 import (
    TicketEdited,
    TicketMerged,
    TicketOpened,
    TicketStatusChanged,
)
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.sla.v1.events_pb2 import TargetAtRisk, TicketEscalated
from waybill_chassis.causes import automation, event_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, TraceContext
from waybill_chassis.ids import parse_id

from waybill_routing.domain import (
    Agent,
    Assignment,
    Change,
    Escalated,
    News,
    Presence,
    RiskSeen,
    State,
    Ticket,
    TicketSeen,
)

HEARD: tuple[type[Message], ...] = (
    TicketOpened,
    TicketEdited,
    TicketStatusChanged,
    TicketMerged,
    TargetAtRisk,
    TicketEscalated,
)
"""What routing listens to."""

TOLD: tuple[type[Message], ...] = (
    events_pb2.TicketQueued,
    events_pb2.TicketAssigned,
    events_pb2.TicketReleased,
    events_pb2.AgentPresenceChanged,
)
"""What routing tells."""

_SERVICE = "routing"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who does something, what led to it, and the span it belongs to (None: the present one)."""

    actor: actor_pb2.Actor
    cause: actor_pb2.Cause
    trace: TraceContext | None = None

    def by_itself(self) -> "Origin":
        """The same cause, acted on by the automation."""
        return Origin(automation(_SERVICE), self.cause, self.trace)


def origin_of(event: Event[Any]) -> Origin:
    """What an event leads to is the automation's doing."""
    return Origin(automation(_SERVICE), event_cause(event), event.trace)


def news_of(event: Event[Any]) -> News:
    """What an event tells routing. `InvalidEvent` when it speaks of no ticket."""
    message, sequence = event.message, event.sequence or 0
    if isinstance(message, TargetAtRisk):
        active = (
            ticket_enums_pb2.TARGET_STATE_RUNNING,
            ticket_enums_pb2.TARGET_STATE_AT_RISK,
        )
        targets = [target for target in message.clock.targets if target.state in active]
        dues = [moment(message, "due_at"), *(moment(target, "due_at") for target in targets)]
        return RiskSeen(
            ticket_id=_id(event.subject),
            share=max([message.share, *(target.warned_share for target in targets)]),
            due_at=min((due for due in dues if due is not None), default=None),
            sequence=sequence,
        )
    if isinstance(message, TicketEscalated):
        return Escalated(_id(event.subject), tuple(message.teams), sequence)
    ticket = from_ticket(message.ticket, sequence)
    if ticket.id != _id(event.subject):
        raise InvalidEvent(f"the event's subject is {event.subject}, its ticket {ticket.id}")
    return TicketSeen(ticket)


def from_ticket(message: ticket_pb2.Ticket, sequence: int) -> Ticket:
    """The ticket of intake as routing keeps it."""
    return Ticket(
        id=_id(message.id),
        product=message.product,
        type=_word(ticket_enums_pb2.TicketType.Name, message.type, "TICKET_TYPE_"),
        priority=_word(ticket_enums_pb2.Priority.Name, message.priority, "PRIORITY_"),
        status=_word(ticket_enums_pb2.Status.Name, message.status, "STATUS_"),
        opened_at=moment(message, "created_at"),
        sequence=sequence,
    )


def moment(message: Message, field: str) -> datetime | None:
    """A timestamp field, None when it is not set."""
    if not message.HasField(field):
        return None
    found: datetime = getattr(message, field).ToDatetime(UTC)
    return found


def to_agent(id: UUID, name: str, email: str) -> actor_pb2.Agent:
    """An agent as other services show one."""
    return actor_pb2.Agent(id=str(id), name=name, email=email)


def to_assignment(
    ticket_id: UUID, assignment: Assignment, agent: actor_pb2.Agent | None
) -> assignment_pb2.Assignment:
    """The assignment as a message; `agent` is the one who has it."""
    name = "UNSPECIFIED" if assignment.method is None else assignment.method.name
    state = "UNSPECIFIED" if assignment.state is State.UNPLACED else assignment.state.name
    message = assignment_pb2.Assignment(
        ticket_id=str(ticket_id),
        state=assignment_pb2.AssignmentState.Value(f"ASSIGNMENT_STATE_{state}"),
        agent=agent,
        team=assignment.team,
        queue=assignment.queue,
        version=assignment.version,
        why=assignment.why,
        method=assignment_pb2.AssignmentMethod.Value(f"ASSIGNMENT_METHOD_{name}"),
    )
    _set(message.since, assignment.since)
    if assignment.state is not State.ASSIGNED:
        _set(message.unassigned_since, assignment.waiting_since)
    return message


def to_agent_state(agent: Agent) -> assignment_pb2.AgentState:
    """An agent's state as a message."""
    message = assignment_pb2.AgentState(
        agent=_agent(agent),
        presence=_presence(agent.presence),
        teams=agent.teams,
        skills=agent.skills,
        capacity=agent.capacity,
        open_tickets=agent.open_tickets,
        version=agent.version,
    )
    _set(message.since, agent.presence_since)
    return message


def tell(uow: UnitOfWork, changes: Sequence[Change], origin: Callable[[UUID], Origin]) -> None:
    """Tell each step; `origin` says where that of a ticket comes from."""
    for change in changes:
        came_from = origin(change.ticket_id)
        uow.emit(
            _told(change, came_from),
            subject=change.ticket_id,
            occurred_at=change.assignment.since,
            trace=came_from.trace,
        )


def tell_presence(uow: UnitOfWork, agent: Agent, before: Presence, origin: Origin) -> None:
    """Tell that an agent came, went or was changed."""
    uow.emit(
        events_pb2.AgentPresenceChanged(
            actor=origin.actor,
            cause=origin.cause,
            agent_state=to_agent_state(agent),
            previous_presence=_presence(before),
        ),
        subject=agent.id,
        aggregate_type="agent",
        trace=origin.trace,
    )


def _told(change: Change, origin: Origin) -> Message:
    agent = None if change.agent is None else _agent(change.agent)
    previous = None if change.previous_agent is None else _agent(change.previous_agent)
    assignment = to_assignment(change.ticket_id, change.assignment, agent)
    match change.assignment.state:
        case State.ASSIGNED:
            return events_pb2.TicketAssigned(
                actor=origin.actor,
                cause=origin.cause,
                assignment=assignment,
                previous_agent=previous,
            )
        case State.QUEUED:
            return events_pb2.TicketQueued(
                actor=origin.actor,
                cause=origin.cause,
                assignment=assignment,
                previous_team=change.previous_team,
            )
    reason = "UNSPECIFIED" if change.reason is None else change.reason.name
    return events_pb2.TicketReleased(
        actor=origin.actor,
        cause=origin.cause,
        assignment=assignment,
        previous_agent=previous,
        reason=events_pb2.ReleaseReason.Value(f"RELEASE_REASON_{reason}"),
    )


def _agent(agent: Agent) -> actor_pb2.Agent:
    return to_agent(agent.id, agent.name, agent.email)


def _presence(presence: Presence) -> "assignment_pb2.Presence.ValueType":
    return assignment_pb2.Presence.Value(f"PRESENCE_{presence.name}")


def _set(field: Timestamp, value: datetime | None) -> None:
    if value is not None:
        field.FromDatetime(value)


def _id(text: str) -> UUID:
    id = parse_id(text)
    if id is None:
        raise InvalidEvent(f"{text!r} is no ticket's id")
    return id


def _word(name: Callable[[Any], str], value: int, prefix: str) -> str:
    """The word of an enum's value; "" when it is absent, or newer than this code."""
    try:
        word = name(value).removeprefix(prefix).lower()
    except ValueError:
        return ""
    return "" if word == "unspecified" else word
