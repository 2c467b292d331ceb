"""What routing hears: intake's tickets, sla's escalations and warnings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT
from waybill.intake.v1.events_pb2 import (
    MessagePosted,
    PersonErased,
    TicketEdited,
    TicketLinked,
    TicketMerged,
    TicketOpened,
    TicketStatusChanged,
)
from waybill.sla.v1.events_pb2 import TargetAtRisk, TicketEscalated
from waybill_chassis import erasing
from waybill_chassis.causes import Origin
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, events_topic, ticket_id
from waybill_chassis.service import Runtime

from waybill_routing import events, usecases
from waybill_routing.domain import News, Touched
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

GROUP = "waybill-routing"

HEARD: tuple[type[Message], ...] = (
    TicketOpened,
    TicketEdited,
    TicketStatusChanged,
    TicketMerged,
    TicketLinked,
    MessagePosted,
    PersonErased,
    TargetAtRisk,
    TicketEscalated,
)
"""What routing listens to."""


def consumer(rt: Runtime[Settings]) -> Consumer:
    """The reader of intake's and sla's events."""
    return Consumer(
        rt.database,
        bootstrap_servers=rt.settings.kafka_bootstrap_servers,
        group=GROUP,
        handle=handle,
        types=HEARD,
        topics=(events_topic("intake"), events_topic("sla")),
    )


async def handle(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> None:
    """A batch at once: load, decide in memory, write."""
    talk = [event for event in batch if isinstance(event.message, MessagePosted)]
    erasures = [event.message for event in batch if isinstance(event.message, PersonErased)]
    news = [event for event in batch if not isinstance(event.message, PersonErased | MessagePosted)]
    heard = [(events.news_of(event), events.origin_of(event)) for event in news]
    await usecases.hear(uow, [*await _touched(uow, [*news, *talk]), *heard])
    await _see(uow, [*news, *talk])
    # Nothing of a person is kept here, but something may still wait to be told or put aside.
    for message in erasures:
        await erasing.forget(
            uow, email=message.email, name=message.name, ticket_ids=message.ticket_ids
        )


async def _touched(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> list[tuple[News, Origin]]:
    """The tickets that whoever has them did something to for the first time."""
    deeds = {
        (ticket_id(event.subject), event.message.actor.email.lower()): event
        for event in reversed(batch)
        if event.message.actor.kind == ACTOR_KIND_AGENT and event.message.actor.email
    }
    return [
        (Touched(id, agent_id, deeds[id, email].time), events.origin_of(deeds[id, email]))
        for id, agent_id, email in await tickets.first_touched(uow, deeds)
    ]


async def _see(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> None:
    """Whoever works on tickets in intake is there; the last rows that the batch locks."""
    at: dict[str, datetime] = {}
    for event in batch:
        actor = event.message.actor
        if actor.kind == ACTOR_KIND_AGENT and actor.email:
            email = actor.email.lower()
            at[email] = max(event.time, at.get(email, event.time))
    if at:
        await usecases.see(uow, at, max(at.values()))
