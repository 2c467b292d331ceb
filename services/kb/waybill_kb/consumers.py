"""intake's events: they keep kb's picture of the tickets, and ask it to compare."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from waybill.intake.v1.events_pb2 import (
    AttachmentAdded,
    MessagePosted,
    PersonErased,
    ReminderPosted,
    TicketEdited,
    TicketLinked,
    TicketMerged,
    TicketOpened,
    TicketRated,
    TicketStatusChanged,
)
from waybill_chassis.causes import event_cause
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, events_topic

from waybill_kb import events as told
from waybill_kb.domain.tickets import Windows
from waybill_kb.settings import Settings
from waybill_kb.store import articles
from waybill_kb.usecases.tickets import Sighting, forget, observe

TYPES: tuple[type[Message], ...] = (
    TicketOpened,
    TicketEdited,
    TicketStatusChanged,
    MessagePosted,
    ReminderPosted,
    AttachmentAdded,
    TicketMerged,
    TicketLinked,
    TicketRated,
    PersonErased,
)
"""Each but the last carries the whole ticket, and that is all that kb wants of it."""


def windows(settings: Settings) -> Windows:
    """The times that the settings give."""
    return Windows(settings.duplicate_window, settings.repeat_window, settings.repeat_count)


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]], windows: Windows) -> None:
    """One batch: pictures first, then what is to be forgotten."""
    await observe(uow, [_sighting(e) for e in events if not _erases(e)], windows)
    erasures = [event.message for event in events if _erases(event)]
    if erasures:
        ids = [told.ticket_id(id) for message in erasures for id in message.ticket_ids]
        await forget(uow, [message.submitter_id for message in erasures], ids)
        await articles.forget_people(uow, [message.email for message in erasures])


def _erases(event: Event[Any]) -> bool:
    return isinstance(event.message, PersonErased)


def _sighting(event: Event[Any]) -> Sighting:
    if event.sequence is None:
        raise InvalidEvent(f"{event.type} of a ticket lacks ce_sequence")
    return Sighting(
        picture=told.from_ticket(event.message.ticket, event.sequence),
        cause=event_cause(event),
        at=event.time,
        trace=event.trace,
    )


def consumer(database: Database, settings: Settings) -> Consumer:
    """The reader of intake's topic."""
    rules = windows(settings)
    return Consumer(
        database,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group="waybill-kb",
        topics=[events_topic("intake")],
        types=TYPES,
        handle=lambda uow, events: handle(uow, events, rules),
    )
