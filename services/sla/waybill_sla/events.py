"""Protobuf <-> domain."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.message import Message
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import CAUSE_KIND_EVENT, Actor, ActorKind, Agent, Cause
from waybill.intake.v1 import ticket_pb2 as intake
from waybill.routing.v1 import assignment_pb2 as routing
from waybill.sla.v1 import clock_pb2, events_pb2, service_pb2
from waybill_chassis.events import InvalidEvent, ticket_id
from waybill_chassis.times import duration, moment, timestamp
from waybill_chassis.words import number, word

from waybill_sla.domain import telling
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.lines import Line
from waybill_sla.domain.report import Presence
from waybill_sla.domain.ticket import Ticket, Wait
from waybill_sla.domain.words import Priority, Status

W = TypeVar("W", bound=StrEnum)

TOLD: tuple[type[Message], ...] = (
    events_pb2.ClockStarted,
    events_pb2.ClockPaused,
    events_pb2.ClockResumed,
    events_pb2.TargetAtRisk,
    events_pb2.TargetBreached,
    events_pb2.BreachRetracted,
    events_pb2.TargetMet,
    events_pb2.TicketEscalated,
    events_pb2.FollowUpDue,
)
"""What sla tells."""


def from_ticket(ticket: intake.Ticket, sequence: int) -> Ticket:
    """What we keep of intake's ticket."""
    created_at = moment(ticket, "created_at")
    if created_at is None:
        raise InvalidEvent("the ticket has no created_at")
    status_since = moment(ticket, "status_since") or created_at
    return Ticket(
        id=ticket_id(ticket.id),
        number=ticket.number,
        product=ticket.product,
        type=word(words.TicketType, ticket.type),
        priority=_known(words.Priority, ticket.priority, Priority),
        status=_known(words.Status, ticket.status, Status),
        created_at=created_at,
        status_since=status_since,
        episode=ticket.episode,
        episode_since=moment(ticket, "episode_since") or status_since,
        first_response_at=moment(ticket, "first_response_at"),
        resolved_at=moment(ticket, "resolved_at"),
        reopened_at=moment(ticket, "reopened_at"),
        reopenings=ticket.reopenings,
        submitter_id=ticket.submitter.id,
        submitter_email=ticket.submitter.email,
        tier=ticket.submitter.tier,
        tags=tuple(ticket.tags),
        last_public_at=moment(ticket, "last_public_message_at"),
        last_public_by=word(ActorKind, ticket.last_public_message_by),
        sequence=sequence,
    )


def from_assignment(assignment: routing.Assignment, sequence: int) -> Wait:
    """What we keep of routing's assignment."""
    agent = assignment.agent if assignment.HasField("agent") else None
    return Wait(
        moment(assignment, "unassigned_since"),
        sequence,
        team=assignment.team,
        agent=agent and _known_as(agent),
        agent_name=agent.name if agent else "",
        since=moment(assignment, "since"),
    )


def from_agent_state(state: routing.AgentState, sequence: int) -> Presence:
    """What we keep of an agent's coming and going."""
    since = moment(state, "since")
    if since is None:
        raise InvalidEvent("the agent's state has no since")
    agent = _known_as(state.agent)
    if agent is None:
        raise InvalidEvent("the agent's state does not say whose it is")
    at_work = state.presence in (routing.PRESENCE_AVAILABLE, routing.PRESENCE_BUSY)
    return Presence(agent, sequence, since, at_work, tuple(state.teams))


def _known_as(agent: Agent) -> str | None:
    return (agent.email or agent.id).lower() or None


def to_clock(clock: Clock) -> clock_pb2.Clock:
    """The clock as others see it, as of its last change."""
    ticket, updated_at = clock.ticket, clock.updated_at
    assert ticket is not None
    assert updated_at is not None
    return clock_pb2.Clock(
        ticket_id=str(clock.ticket_id),
        policy_id=str(clock.policy_id),
        policy_version=clock.policy_version,
        calendar_id=str(clock.calendar.id),
        calendar_version=clock.calendar.version,
        state=number(clock_pb2.ClockState, clock.state),
        started_at=timestamp(clock.started_at),
        paused_since=timestamp(clock.paused_since),
        targets=[_to_target(clock, target, updated_at) for target in clock.targets],
        escalation_level=words.EscalationLevel.ValueType(clock.level),
        priority=number(words.Priority, ticket.priority),
        type=number(words.TicketType, ticket.type),
        updated_at=timestamp(updated_at),
        version=clock.version,
    )


def _to_target(clock: Clock, target: Target, at: datetime) -> clock_pb2.Target:
    return clock_pb2.Target(
        kind=number(words.TargetKind, target.kind),
        state=number(words.TargetState, target.state),
        started_at=timestamp(target.started_at or clock.started_at),
        due_at=timestamp(target.due_at),
        allowed=duration(target.allowed),
        elapsed=duration(clock.elapsed(target, at)),
        paused=duration(clock.paused(target)),
        stopped_at=timestamp(target.stopped_at),
        breached_at=timestamp(target.breached_at),
        warned_share=target.warned_share,
    )


def to_segments(lines: Iterable[Line]) -> list[clock_pb2.Segment]:
    """The ledger as others see it."""
    return [
        clock_pb2.Segment(
            kind=number(clock_pb2.SegmentKind, line.kind),
            started_at=timestamp(line.started_at),
            ended_at=timestamp(line.ended_at),
            working_time=duration(line.working_time),
            status=number(words.Status, line.status),
            event_id=line.event_id,
            began=number(clock_pb2.SegmentBeginning, line.began),
            policy_id=str(line.terms.dating.policy_id) if line.terms else "",
            policy_version=line.terms.dating.policy_version if line.terms else 0,
        )
        for line in lines
    ]


def to_remaining(clock: Clock, target: Target, now: datetime) -> service_pb2.TargetRemaining:
    """How much time a target has left."""
    return service_pb2.TargetRemaining(
        kind=number(words.TargetKind, target.kind),
        state=number(words.TargetState, target.state),
        remaining=duration(clock.remaining(target, now)),
        due_at=timestamp(target.due_at),
    )


def to_message(told: telling.Telling, clock: Clock, actor: Actor, cause: Cause) -> Message:
    """What is told, as the event that tells it."""
    about: dict[str, Any] = {"actor": actor, "cause": cause, "clock": to_clock(clock)}
    match told:
        case telling.ClockStarted():
            reason = number(events_pb2.StartReason, told.reason)
            return events_pb2.ClockStarted(**about, reason=reason)
        case telling.ClockPaused():
            why = number(events_pb2.PauseReason, told.reason)
            return events_pb2.ClockPaused(**about, reason=why, paused_at=timestamp(told.at))
        case telling.ClockResumed():
            return events_pb2.ClockResumed(
                **about, resumed_at=timestamp(told.at), paused_for=duration(told.paused_for)
            )
        case telling.FollowUpDue():
            return events_pb2.FollowUpDue(
                **about,
                kind=number(words.FollowUpKind, told.kind),
                episode=told.episode,
                due_at=timestamp(told.at),
            )
        case telling.TicketEscalated():
            return _escalated(told, about)
        case _:
            return _of_target(told, about)


def _of_target(
    told: telling.TargetAtRisk
    | telling.TargetBreached
    | telling.BreachRetracted
    | telling.TargetMet,
    about: dict[str, Any],
) -> Message:
    about["kind"] = number(words.TargetKind, told.kind)
    match told:
        case telling.TargetAtRisk():
            return events_pb2.TargetAtRisk(
                **about,
                share=told.share,
                due_at=timestamp(told.due_at),
                remaining=duration(told.remaining),
            )
        case telling.TargetBreached():
            return events_pb2.TargetBreached(
                **about, due_at=timestamp(told.at), detected_at=timestamp(told.detected_at)
            )
        case telling.BreachRetracted():
            return events_pb2.BreachRetracted(
                **about,
                due_at=timestamp(told.due_at),
                met_at=timestamp(told.met_at),
                breach_event_id=str(told.breach_event_id),
            )
        case telling.TargetMet():
            return events_pb2.TargetMet(
                **about,
                met_at=timestamp(told.at),
                due_at=timestamp(told.due_at),
                elapsed=duration(told.elapsed),
                late=told.late,
            )


def _escalated(told: telling.TicketEscalated, about: dict[str, Any]) -> Message:
    if told.led_by is not None:
        about["cause"] = Cause(
            kind=CAUSE_KIND_EVENT,
            id=told.led_by.id,
            type=told.led_by.type,
            source=told.led_by.source,
        )
    return events_pb2.TicketEscalated(
        **about,
        level=words.EscalationLevel.ValueType(told.level),
        previous_level=words.EscalationLevel.ValueType(told.previous_level),
        trigger=number(events_pb2.EscalationTrigger, told.trigger),
        target=number(words.TargetKind, told.target),
        rung=told.rung,
        teams=told.teams,
        comment=told.comment,
    )


def _known(enum: Any, number: int, kind: type[W]) -> W:
    try:
        return kind(word(enum, number))
    except ValueError:
        raise InvalidEvent(f"the ticket has no {kind.__name__.lower()} known here") from None
