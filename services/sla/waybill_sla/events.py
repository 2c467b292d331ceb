"""Protobuf <-> domain."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import CAUSE_KIND_EVENT, Actor, Cause
from waybill.intake.v1 import ticket_pb2 as intake
from waybill.routing.v1 import assignment_pb2 as routing
from waybill.sla.v1 import clock_pb2, events_pb2, service_pb2
from waybill_chassis.events import InvalidEvent

from waybill_sla.domain import ledger, telling
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ticket import Ticket, Wait
from waybill_sla.domain.words import Priority, Status

W = TypeVar("W", bound=StrEnum)

EMITTED: tuple[type[Message], ...] = (
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


def ticket_id(text: str) -> UUID:
    """The ticket that an event is about."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidEvent(f"{text!r} is not the id of a ticket") from None


def from_ticket(ticket: intake.Ticket, sequence: int) -> Ticket:
    """What we keep of intake's ticket."""
    created_at = _moment(ticket, "created_at")
    if created_at is None:
        raise InvalidEvent("the ticket has no created_at")
    status_since = _moment(ticket, "status_since") or created_at
    return Ticket(
        id=ticket_id(ticket.id),
        number=ticket.number,
        product=ticket.product,
        type=_word(words.TicketType, "TICKET_TYPE_", ticket.type),
        priority=_known(words.Priority, "PRIORITY_", ticket.priority, Priority),
        status=_known(words.Status, "STATUS_", ticket.status, Status),
        created_at=created_at,
        status_since=status_since,
        episode=ticket.episode,
        episode_since=_moment(ticket, "episode_since") or status_since,
        first_response_at=_moment(ticket, "first_response_at"),
        resolved_at=_moment(ticket, "resolved_at"),
        reopened_at=_moment(ticket, "reopened_at"),
        reopenings=ticket.reopenings,
        submitter_id=ticket.submitter.id,
        submitter_email=ticket.submitter.email,
        tier=ticket.submitter.tier,
        sequence=sequence,
    )


def from_assignment(assignment: routing.Assignment, sequence: int) -> Wait:
    """What we keep of routing's assignment."""
    return Wait(_moment(assignment, "unassigned_since"), sequence)


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
        state=clock_pb2.ClockState.Value(f"CLOCK_STATE_{clock.state.name}"),
        started_at=stamp(clock.started_at),
        paused_since=_maybe(clock.paused_since),
        targets=[_to_target(clock, target, updated_at) for target in clock.targets],
        escalation_level=words.EscalationLevel.ValueType(clock.level),
        priority=words.Priority.Value(f"PRIORITY_{ticket.priority.name}"),
        type=_number(words.TicketType, "TICKET_TYPE_", ticket.type),
        updated_at=stamp(updated_at),
        version=clock.version,
    )


def _to_target(clock: Clock, target: Target, at: datetime) -> clock_pb2.Target:
    return clock_pb2.Target(
        kind=words.TargetKind.Value(f"TARGET_KIND_{target.kind.name}"),
        state=words.TargetState.Value(f"TARGET_STATE_{target.state.name}"),
        started_at=stamp(clock.started_at),
        due_at=stamp(target.due_at),
        allowed=span(target.allowed),
        elapsed=span(clock.elapsed(target, at)),
        paused=span(ledger.stood_still(clock.segments, target.stopped_at)),
        stopped_at=_maybe(target.stopped_at),
        breached_at=_maybe(target.breached_at),
        warned_share=target.warned_share,
    )


def to_segments(clock: Clock, now: datetime) -> list[clock_pb2.Segment]:
    """The ledger as others see it, as of now."""
    return [
        clock_pb2.Segment(
            kind=clock_pb2.SegmentKind.Value(f"SEGMENT_KIND_{part.kind.name}"),
            started_at=stamp(part.started_at),
            ended_at=_maybe(part.ended_at),
            working_time=span(clock.calendar.working_time(part.started_at, part.ended_at or now)),
            status=words.Status.Value(f"STATUS_{part.status.name}"),
            event_id=part.event_id,
        )
        for part in clock.segments
    ]


def to_remaining(clock: Clock, target: Target, now: datetime) -> service_pb2.TargetRemaining:
    """How much time a target has left."""
    return service_pb2.TargetRemaining(
        kind=words.TargetKind.Value(f"TARGET_KIND_{target.kind.name}"),
        state=words.TargetState.Value(f"TARGET_STATE_{target.state.name}"),
        remaining=span(clock.remaining(target, now)),
        due_at=stamp(target.due_at),
    )


def to_message(told: telling.Telling, clock: Clock, actor: Actor, cause: Cause) -> Message:
    """What is told, as the event that tells it."""
    about: dict[str, Any] = {"actor": actor, "cause": cause, "clock": to_clock(clock)}
    match told:
        case telling.ClockStarted():
            reason = events_pb2.StartReason.Value(f"START_REASON_{told.reason.name}")
            return events_pb2.ClockStarted(**about, reason=reason)
        case telling.ClockPaused():
            why = events_pb2.PauseReason.Value(f"PAUSE_REASON_{told.reason.name}")
            return events_pb2.ClockPaused(**about, reason=why, paused_at=stamp(told.at))
        case telling.ClockResumed():
            return events_pb2.ClockResumed(
                **about, resumed_at=stamp(told.at), paused_for=span(told.paused_for)
            )
        case telling.FollowUpDue():
            return events_pb2.FollowUpDue(
                **about,
                kind=words.FollowUpKind.Value(f"FOLLOW_UP_KIND_{told.kind.name}"),
                episode=told.episode,
                due_at=stamp(told.at),
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
    about["kind"] = words.TargetKind.Value(f"TARGET_KIND_{told.kind.name}")
    match told:
        case telling.TargetAtRisk():
            return events_pb2.TargetAtRisk(
                **about,
                share=told.share,
                due_at=stamp(told.due_at),
                remaining=span(told.remaining),
            )
        case telling.TargetBreached():
            return events_pb2.TargetBreached(
                **about, due_at=stamp(told.at), detected_at=stamp(told.detected_at)
            )
        case telling.BreachRetracted():
            return events_pb2.BreachRetracted(
                **about,
                due_at=stamp(told.due_at),
                met_at=_maybe(told.met_at),
                breach_event_id=str(told.breach_event_id),
            )
        case telling.TargetMet():
            return events_pb2.TargetMet(
                **about,
                met_at=stamp(told.at),
                due_at=stamp(told.due_at),
                elapsed=span(told.elapsed),
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
        trigger=events_pb2.EscalationTrigger.Value(f"ESCALATION_TRIGGER_{told.trigger.name}"),
        target=words.TargetKind.Value(f"TARGET_KIND_{told.target.name}")
        if told.target
        else words.TARGET_KIND_UNSPECIFIED,
        rung=told.rung,
        teams=told.teams,
        comment=told.comment,
    )


def stamp(moment: datetime) -> Timestamp:
    """A time in protobuf."""
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def span(length: timedelta) -> Duration:
    """A duration in protobuf."""
    found = Duration()
    found.FromTimedelta(length)
    return found


def moment(found: Timestamp) -> datetime:
    """A protobuf time in UTC."""
    return found.ToDatetime(tzinfo=UTC)


def _maybe(found: datetime | None) -> Timestamp | None:
    return None if found is None else stamp(found)


def _moment(message: Message, field: str) -> datetime | None:
    return moment(getattr(message, field)) if message.HasField(field) else None


def _word(enum: Any, prefix: str, number: int) -> str:
    """The word for an enum's value; empty for one that is absent or unknown."""
    if not number or number not in enum.values():
        return ""
    return str(enum.Name(number)).removeprefix(prefix).lower()


def _known(enum: Any, prefix: str, number: int, kind: type[W]) -> W:
    word = _word(enum, prefix, number)
    try:
        return kind(word)
    except ValueError:
        raise InvalidEvent(f"the ticket has no {kind.__name__.lower()} known here") from None


def _number(enum: Any, prefix: str, word: str) -> Any:
    return enum.Value(f"{prefix}{word.upper()}" if word else f"{prefix}UNSPECIFIED")
