"""Events of routing, sla, notify and kb: kept, logged, and acted on where intake is to act."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from waybill.common.v1.actor_pb2 import CauseKind
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket
from waybill.notify.v1 import events_pb2 as notify
from waybill.notify.v1.delivery_pb2 import KNOWLEDGE_ANSWER_FOUND
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.causes import event_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, ticket_id
from waybill_chassis.ids import parse_id
from waybill_chassis.words import word

from waybill_intake import events as proto
from waybill_intake.automation import react
from waybill_intake.consumers.summaries import summary
from waybill_intake.counting import After
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.people import ERASED
from waybill_intake.domain.statistics_history import (
    after_answer,
    after_escalation,
    after_likeness,
)
from waybill_intake.domain.ticket import AUTOMATION, Ticket
from waybill_intake.domain.words import ActorKind
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.projections import Projections
from waybill_intake.store import facts
from waybill_intake.store.log import Line

_ASSIGNMENTS = (
    routing.TicketQueued,
    routing.TicketAssigned,
    routing.TicketReleased,
    routing.TriageSuggested,
)
_CLOCKS = (
    sla.ClockStarted,
    sla.ClockPaused,
    sla.ClockResumed,
    sla.TargetAtRisk,
    sla.TargetBreached,
    sla.BreachRetracted,
    sla.TargetMet,
    sla.TicketEscalated,
    sla.FollowUpDue,
)
_DELIVERIES = (notify.NotificationDelivered, notify.NotificationFailed)
_ISSUES = (kb.DuplicateSuspected, kb.IssueRepeated)

HEARD: tuple[type[Message], ...] = (*_ASSIGNMENTS, *_CLOCKS, *_DELIVERIES, *_ISSUES)
"""What intake listens to."""


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Load the tickets of the batch, decide event by event, write."""
    about = [(event, id) for event in events if (id := _ticket_of(event)) is not None]
    docket = Docket(uow)
    older = [
        other
        for event, _ in about
        if isinstance(event.message, kb.DuplicateSuspected)
        for candidate in event.message.candidates
        if (other := parse_id(candidate.ticket_id))
    ]
    await docket.take([*(id for _, id in about), *older])
    projections = Projections(docket, await facts.read(uow.connection, {id for _, id in about}))
    settings = (await uow.settings()).of(IntakeSettings)
    for event, id in about:
        came = _decide(docket, projections, event, id, settings)
        docket.hear(_line(uow, event, docket.find(id), id, came))
    await projections.write()
    await docket.write()


def _ticket_of(event: Event[Any]) -> UUID | None:
    """The ticket an event is about; None for a delivery that is about none."""
    if isinstance(event.message, _DELIVERIES) and not event.message.delivery.ticket_id:
        return None
    return ticket_id(event.subject)


def _decide(
    docket: Docket, projections: Projections, event: Event[Any], id: UUID, settings: IntakeSettings
) -> str:
    """Keep what an event says and act on it; what came of that, in a few words."""
    message, sequence = event.message, event.sequence or 0
    if isinstance(message, _ASSIGNMENTS) and message.HasField("assignment"):
        projections.know_assignment(
            id,
            proto.from_assignment(message.assignment, sequence),
            event.time,
            Origin(proto.from_actor(message.actor), event_cause(event), event.trace),
            taken_from=isinstance(message, routing.TicketReleased)
            and message.HasField("previous_agent"),
            closed=isinstance(message, routing.TicketReleased)
            and message.reason == routing.RELEASE_REASON_CLOSED,
        )
    if isinstance(message, _CLOCKS) and message.HasField("clock"):
        projections.know_sla(id, proto.from_clock(message.clock, sequence))
    if (ticket := docket.find(id)) is None:
        return ""
    origin = Origin(AUTOMATION, event_cause(event), event.trace)
    came = react(docket, projections, ticket, event, origin, settings)
    if (after := _remembered(message, sequence)) is not None:
        docket.tally.hear(id, after)
    return came


def _remembered(message: Message, sequence: int) -> After | None:
    """What statistics remember of an event, beside assignments and clocks."""
    after: After | None = None
    match message:
        case sla.TicketEscalated():
            after = partial(after_escalation, sequence=sequence)
        case kb.DuplicateSuspected():
            after = partial(after_likeness, older=_oldest(message.candidates))
        case kb.IssueRepeated():
            after = partial(after_likeness, older=_oldest(message.earlier))
        case notify.NotificationDelivered() if message.delivery.knowledge_answer:
            found = message.delivery.knowledge_answer == KNOWLEDGE_ANSWER_FOUND
            after = partial(after_answer, found=found)
    return after


def _oldest(tickets: Sequence[SimilarTicket]) -> str:
    """The oldest ticket: ids grow with time."""
    return min((str(id) for one in tickets if (id := parse_id(one.ticket_id))), default="")


def _line(uow: UnitOfWork, event: Event[Any], ticket: Ticket | None, id: UUID, came: str) -> Line:
    actor, cause = proto.from_actor(event.message.actor), event.message.cause
    line = Line(
        ticket_id=id,
        event_id=event.id,
        source=event.source,
        type=event.type,
        occurred_at=event.time,
        recorded_at=uow.now,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        cause_kind=word(CauseKind, cause.kind),
        cause_id=cause.id,
        cause_type=cause.type,
        summary=summary(event.message, came),
        trace_id=event.trace.trace_id,
    )
    if ticket is None or ticket.erased_at is None:
        return line
    # It was said before the submitter was erased, and comes late.
    if actor.kind is ActorKind.SUBMITTER and ticket.submitter is not None:
        line = replace(line, actor_id=str(ticket.submitter.id), actor_name="")
    wordy = (*_DELIVERIES, routing.TriageSuggested)
    return replace(line, summary=ERASED) if isinstance(event.message, wordy) else line
