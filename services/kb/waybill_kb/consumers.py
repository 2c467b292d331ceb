"""intake's events: they keep kb's picture of the tickets, and ask it to compare."""

from collections.abc import Sequence
from functools import partial
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
from waybill_chassis import erasing
from waybill_chassis.causes import event_cause
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, events_topic, ticket_id
from waybill_chassis.service import Runtime

from waybill_kb.domain.tickets import Windows
from waybill_kb.events import from_ticket
from waybill_kb.settings import Settings
from waybill_kb.store import articles
from waybill_kb.usecases.tickets import Sighting, forget, observe

GROUP = "waybill-kb"
HEARD: tuple[type[Message], ...] = (
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


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]], windows: Windows) -> None:
    """One batch: pictures first, then what is to be forgotten."""
    await observe(uow, [_sighting(e) for e in events if not _erases(e)], windows)
    erasures = [event.message for event in events if _erases(event)]
    if erasures:
        ids = [ticket_id(id) for message in erasures for id in message.ticket_ids]
        await forget(uow, [message.submitter_id for message in erasures], ids)
        await articles.forget_people(uow, [message.email for message in erasures])
    for message in erasures:
        await erasing.forget(
            uow, email=message.email, name=message.name, ticket_ids=message.ticket_ids
        )


def _erases(event: Event[Any]) -> bool:
    return isinstance(event.message, PersonErased)


def _sighting(event: Event[Any]) -> Sighting:
    if event.sequence is None:
        raise InvalidEvent(f"{event.type} of a ticket lacks ce_sequence")
    return Sighting(
        picture=from_ticket(event.message.ticket, event.sequence),
        cause=event_cause(event),
        at=event.time,
        trace=event.trace,
    )


def consumer(rt: Runtime[Settings]) -> Consumer:
    """The reader of intake's events."""
    return Consumer(
        rt.database,
        bootstrap_servers=rt.settings.kafka_bootstrap_servers,
        group=GROUP,
        handle=partial(handle, windows=rt.settings.windows()),
        types=HEARD,
        topics=[events_topic("intake")],
    )
