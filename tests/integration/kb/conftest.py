from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1.events_pb2 import TicketOpened
from waybill.intake.v1.ticket_pb2 import Submitter, Ticket
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import NO_TRACE, Event
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_kb.bootstrap import build
from waybill_kb.settings import Settings


@pytest.fixture
async def kb(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> AsyncIterator[TestedService[Settings]]:
    """Kb over a database of its own."""
    url = await new_service_database("kb")
    async with tested_service(
        "kb", build, Settings, database_url=url, mint=mint, clock=clock
    ) as service:
        yield service


@pytest.fixture
def emitted(kb: TestedService[Settings]) -> Callable[[], Awaitable[list[tuple[str, str, Any]]]]:
    """Reads what was told: the short type, the subject and the message of each event."""
    from waybill.kb.v1 import events_pb2

    async def read() -> list[tuple[str, str, Any]]:
        async with kb.rt.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT type, aggregateid, payload FROM outbox ORDER BY position")
            )
            return [
                (
                    name := row.type.rpartition(".")[2],
                    row.aggregateid,
                    getattr(events_pb2, name).FromString(row.payload),
                )
                for row in rows
            ]

    return read


@pytest.fixture
def event() -> Callable[..., Event[Any]]:
    """Makes an event of intake's around a ticket."""

    def make(
        message_type: type[Any] = TicketOpened,
        *,
        id: UUID | None = None,
        sequence: int = 1,
        at: datetime,
        title: str = "My card is lost",
        description: str = "I lost my card yesterday.",
        submitter: str = "s-1",
        product: str = "demo",
        external_ref: str = "",
        message: Any = None,
    ) -> Event[Any]:
        id = id or uuid4()
        ticket = Ticket(
            id=str(id),
            number=f"WB-{id.int % 10000}",
            product=product,
            status=words.STATUS_PENDING,
            title=title,
            description=description,
            language="en",
            submitter=Submitter(id=submitter) if submitter else None,
            external_ref=external_ref,
        )
        ticket.created_at.FromDatetime(at)
        message = message or message_type(ticket=ticket)
        return Event(
            id=str(uuid4()),
            source="/waybill/intake",
            type=message.DESCRIPTOR.full_name,
            subject=str(id),
            time=at,
            sequence=sequence,
            message=message,
            trace=NO_TRACE,
            topic="waybill.intake.events.v1",
            partition=0,
            offset=0,
        )

    return make
