"""What sla hears: intake's tickets, who has them by routing, and what comes again by kb."""

from collections.abc import Sequence
from typing import Any

from waybill.intake.v1 import events_pb2 as intake
from waybill.kb.v1 import events_pb2 as kb
from waybill.routing.v1 import events_pb2 as routing
from waybill_chassis import erasing
from waybill_chassis.causes import Origin, event_cause
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, events_topic, ticket_id
from waybill_chassis.service import Runtime

from waybill_sla import events, judging, usecases
from waybill_sla.domain.report import Presence
from waybill_sla.domain.ticket import Repetition, SourceEvent
from waybill_sla.settings import Settings
from waybill_sla.usecases import Erasure, News

GROUP = "waybill-sla"

_TICKETS = (
    intake.TicketOpened,
    intake.TicketEdited,
    intake.TicketStatusChanged,
    intake.MessagePosted,
    intake.TicketMerged,
)
_ASSIGNMENTS = (routing.TicketQueued, routing.TicketAssigned, routing.TicketReleased)
HEARD = (
    *_TICKETS,
    *_ASSIGNMENTS,
    routing.AgentPresenceChanged,
    intake.PersonErased,
    kb.IssueRepeated,
)
"""What sla listens to."""


def consumer(rt: Runtime[Settings]) -> Consumer:
    """The reader of intake's, routing's and kb's events."""
    return Consumer(
        rt.database,
        bootstrap_servers=rt.settings.kafka_bootstrap_servers,
        group=GROUP,
        handle=handle,
        types=HEARD,
        topics=(events_topic("intake"), events_topic("routing"), events_topic("kb")),
    )


async def handle(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> None:
    """A batch at once: load, decide in memory, write."""
    await judging.note_presence(uow, [one for event in batch for one in presence_of(event)])
    await usecases.hear(uow, [news for event in batch for news in news_of(event)])
    for event in batch:
        if isinstance(message := event.message, intake.PersonErased):
            await erasing.forget(
                uow, email=message.email, name=message.name, ticket_ids=message.ticket_ids
            )


def presence_of(event: Event[Any]) -> list[Presence]:
    """Who is at work by an event, if it tells."""
    message = event.message
    if not isinstance(message, routing.AgentPresenceChanged):
        return []
    return [events.from_agent_state(message.agent_state, _number(event))]


def news_of(event: Event[Any]) -> list[News]:
    """The facts that an event tells of tickets."""
    message = event.message
    if isinstance(message, routing.AgentPresenceChanged):
        return []
    if isinstance(message, intake.PersonErased):
        erasure = Erasure(message.submitter_id)
        return [_news(event, id, erasure) for id in message.ticket_ids]
    if isinstance(message, kb.IssueRepeated):
        led_by = SourceEvent(event.id, event.type, event.source)
        return [_news(event, message.ticket_id, Repetition(message.count, led_by))]
    if isinstance(message, _ASSIGNMENTS):
        assignment = message.assignment
        fact = events.from_assignment(assignment, _number(event))
        return [_news(event, assignment.ticket_id, fact)]
    ticket = events.from_ticket(message.ticket, _number(event))
    return [_news(event, message.ticket.id, ticket)]


def _number(event: Event[Any]) -> int:
    if event.sequence is None:
        raise InvalidEvent("the event has no ce_sequence")
    return event.sequence


def _news(event: Event[Any], id: str, fact: usecases.Fact) -> News:
    origin = Origin(event.message.actor, event_cause(event), event.trace)
    return News(ticket_id(id), fact, event.time, origin)
