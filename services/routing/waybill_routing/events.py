"""Protobuf <-> domain."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.intake.v1 import ticket_pb2
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.sla.v1.events_pb2 import TargetAtRisk, TicketEscalated
from waybill.sla.v1.service_pb2 import GetRemainingResponse
from waybill_chassis.causes import Origin, automation, event_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, ticket_id
from waybill_chassis.ids import parse_id
from waybill_chassis.times import moment, timestamp
from waybill_chassis.words import number, word

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

TOLD: tuple[type[Message], ...] = (
    events_pb2.TicketQueued,
    events_pb2.TicketAssigned,
    events_pb2.TicketReleased,
    events_pb2.AgentPresenceChanged,
)
"""What routing tells."""


_ACTIVE = (ticket_enums_pb2.TARGET_STATE_RUNNING, ticket_enums_pb2.TARGET_STATE_AT_RISK)


def origin_of(event: Event[Any]) -> Origin:
    """What an event leads to is the automation's doing."""
    return Origin(automation("routing"), event_cause(event), event.trace)


def news_of(event: Event[Any]) -> News:
    """What an event tells routing. `InvalidEvent` when it speaks of no ticket."""
    message, sequence = event.message, event.sequence or 0
    if isinstance(message, TargetAtRisk):
        targets = [target for target in message.clock.targets if target.state in _ACTIVE]
        dues = [moment(message, "due_at"), *(moment(target, "due_at") for target in targets)]
        return RiskSeen(
            ticket_id=ticket_id(event.subject),
            share=max([message.share, *(target.warned_share for target in targets)]),
            due_at=min((due for due in dues if due is not None), default=None),
            sequence=sequence,
        )
    if isinstance(message, TicketEscalated):
        return Escalated(ticket_id(event.subject), tuple(message.teams), sequence)
    ticket = from_ticket(message.ticket, sequence)
    if ticket.id != ticket_id(event.subject):
        raise InvalidEvent(f"the event's subject is {event.subject}, its ticket {ticket.id}")
    return TicketSeen(ticket)


def dues_of(answer: GetRemainingResponse) -> dict[UUID, datetime]:
    """When each ticket's next target is due; of paused targets nothing is said."""
    found = {}
    for ticket in answer.tickets:
        dues = [moment(target, "due_at") for target in ticket.targets if target.state in _ACTIVE]
        if due := min((due for due in dues if due is not None), default=None):
            found[ticket_id(ticket.ticket_id)] = due
    return found


def from_ticket(message: ticket_pb2.Ticket, sequence: int) -> Ticket:
    """The ticket of intake as routing keeps it."""
    return Ticket(
        id=ticket_id(message.id),
        product=message.product,
        type=word(ticket_enums_pb2.TicketType, message.type),
        priority=word(ticket_enums_pb2.Priority, message.priority),
        status=word(ticket_enums_pb2.Status, message.status),
        # Whatever its case: that of a skill or a rule is small.
        language=message.language.lower(),
        tags=tuple(message.tags),
        tier=message.submitter.tier,
        opened_at=moment(message, "created_at"),
        sequence=sequence,
        submitter=parse_id(message.submitter.id),
        links=tuple(id for link in message.links if (id := parse_id(link.ticket_id))),
        text=f"{message.title}\n{message.description}",
    )


def to_agent(id: UUID, name: str, email: str) -> actor_pb2.Agent:
    """An agent as other services show one."""
    return actor_pb2.Agent(id=str(id), name=name, email=email)


def to_assignment(
    ticket_id: UUID, assignment: Assignment, agent: actor_pb2.Agent | None
) -> assignment_pb2.Assignment:
    """The assignment as a message; `agent` is the one who has it."""
    waits = assignment.state is not State.ASSIGNED
    return assignment_pb2.Assignment(
        ticket_id=str(ticket_id),
        state=number(
            assignment_pb2.AssignmentState,
            None if assignment.state is State.UNPLACED else assignment.state,
        ),
        agent=agent,
        team=assignment.team,
        queue=assignment.queue,
        version=assignment.version,
        why=assignment.why,
        method=number(assignment_pb2.AssignmentMethod, assignment.method),
        since=timestamp(assignment.since),
        unassigned_since=timestamp(assignment.waiting_since) if waits else None,
    )


def to_agent_state(agent: Agent) -> assignment_pb2.AgentState:
    """An agent's state as a message."""
    return assignment_pb2.AgentState(
        agent=_agent(agent),
        presence=number(assignment_pb2.Presence, agent.presence),
        teams=agent.teams,
        skills=[skill.value for skill in agent.skills],
        levels=[
            assignment_pb2.Skill(
                kind=number(assignment_pb2.SkillKind, skill.kind),
                value=skill.value,
                level=skill.level,
            )
            for skill in agent.skills
        ],
        load=agent.load,
        on_duty=agent.on_duty,
        capacity=agent.capacity,
        open_tickets=agent.open_tickets,
        since=timestamp(agent.presence_since),
        version=agent.version,
    )


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
            previous_presence=number(assignment_pb2.Presence, before),
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
    return events_pb2.TicketReleased(
        actor=origin.actor,
        cause=origin.cause,
        assignment=assignment,
        previous_agent=previous,
        reason=number(events_pb2.ReleaseReason, change.reason),
    )


def _agent(agent: Agent) -> actor_pb2.Agent:
    return to_agent(agent.id, agent.name, agent.email)
