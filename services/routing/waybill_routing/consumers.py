"""What routing hears: intake's tickets, sla's escalations and warnings."""

from collections.abc import Sequence
from typing import Any

from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event, events_topic

from waybill_routing import events, usecases


def consumer(database: Database, *, bootstrap_servers: str) -> Consumer:
    """The one consumer of the service."""
    return Consumer(
        database,
        bootstrap_servers=bootstrap_servers,
        group="waybill-routing",
        handle=handle,
        types=events.HEARD,
        topics=(events_topic("intake"), events_topic("sla")),
    )


async def handle(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> None:
    """A batch at once: load, decide in memory, write."""
    await usecases.hear(uow, [(events.news_of(event), events.origin_of(event)) for event in batch])
