"""Intake over a real database, as the tests drive it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from google.protobuf.message import Message
from sqlalchemy import text
from waybill.intake.v1 import events_pb2
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import events_pb2 as routing
from waybill_chassis import inbox
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import NO_TRACE, Event, TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_intake.bootstrap import build
from waybill_intake.consumers import facts, requests
from waybill_intake.consumers.decoding import decode
from waybill_intake.settings import Settings

NEW = {"type": "technical", "title": "It does not start", "description": "Since this morning."}


@dataclass(frozen=True, slots=True)
class Told:
    """An event that stands in the outbox."""

    name: str
    subject: str
    sequence: int | None
    id: str
    message: Any


@dataclass(frozen=True, slots=True)
class Intake:
    """The service, and short words for what the tests do with it."""

    tested: TestedService[Settings]

    def token(self, role: str = "agent", **options: Any) -> dict[str, str]:
        return self.tested.mint.headers(role, **options)

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any
    ) -> dict[str, Any]:
        """A request that must be answered with `status`; its JSON."""
        headers = options.pop("headers", None) or self.token(**options)
        response = await self.tested.client.request(method, path, json=body, headers=headers)
        assert response.status_code == status, response.text
        found: dict[str, Any] = response.json()
        return found

    async def open(self, role: str = "agent", **body: Any) -> dict[str, Any]:
        body = NEW | {"product": "shop", "submitter": {"email": "kim@example.com"}} | body
        return await self.ask("POST", "/v1/tickets", body, status=201, role=role)

    async def upload(
        self,
        content: bytes = b"hello",
        name: str = "hello.txt",
        role: str = "agent",
        *,
        status: int = 201,
        kind: str = "application/octet-stream",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """A file, sent as a form."""
        response = await self.tested.client.post(
            "/v1/attachments",
            files={"file": (name, content, kind)},
            headers=self.token(role, **options) | (headers or {}),
        )
        assert response.status_code == status, response.text
        found: dict[str, Any] = response.json()
        return found

    async def move(self, ticket: dict[str, Any], *path: str, role: str = "agent") -> dict[str, Any]:
        for to in path:
            ticket = await self.ask(
                "POST", f"/v1/tickets/{ticket['id']}/transitions", {"to": to}, role=role
            )
        return ticket

    async def read(self, ticket: dict[str, Any]) -> dict[str, Any]:
        return await self.ask("GET", f"/v1/tickets/{ticket['id']}")

    async def say(self, ticket: dict[str, Any], kind: str = "reply", **who: Any) -> None:
        """Somebody writes to a ticket."""
        path = f"/v1/tickets/{ticket['id']}/messages"
        await self.ask("POST", path, {"body": "Well", "kind": kind}, status=201, **who)

    async def edit(self, ticket: dict[str, Any], **fields: Any) -> None:
        """An agent sets fields."""
        headers = self.token("agent") | {"If-Match": "*"}
        await self.ask("PATCH", f"/v1/tickets/{ticket['id']}", fields, headers=headers)

    async def last_line(self, ticket: dict[str, Any], kind: type[Message]) -> str:
        """What the log says of the last event of a kind."""
        name = kind.DESCRIPTOR.name
        log = await self.ask("GET", f"/v1/tickets/{ticket['id']}/log?type={name}")
        line: str = log["items"][-1]["summary"]
        return line

    async def somebody_waits(self) -> None:
        """Come back once a transaction waits for the lock of another one."""
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(10), self.tested.rt.database.reading() as connection:
            while not (await connection.execute(waiting)).scalar():
                # What the view shows stays the same within a transaction.
                await connection.rollback()
                await asyncio.sleep(0.01)

    async def told(self, ticket: dict[str, Any] | None = None) -> list[Told]:
        """What stands in the outbox, about one ticket or all."""
        async with self.tested.rt.database.reading() as connection:
            rows = await connection.execute(text("SELECT * FROM outbox ORDER BY position"))
            return [
                Told(
                    name := row.type.rpartition(".")[2],
                    row.aggregateid,
                    row.sequence,
                    str(row.id),
                    getattr(events_pb2, name).FromString(row.payload),
                )
                for row in rows
                if ticket is None or row.aggregateid == ticket["id"]
            ]

    async def names(self, ticket: dict[str, Any] | None = None) -> list[str]:
        return [event.name for event in await self.told(ticket)]

    async def hear(self, *events: Event[Any]) -> None:
        """Other services' events, as one batch of the consumer."""
        async with self.tested.rt.database.unit_of_work() as uow:
            await facts.handle(uow, events)

    async def take_in(self, *records: ConsumerRecord[Any, Any]) -> None:
        """Products' records, as one batch of the consumer."""
        async with self.tested.rt.database.unit_of_work() as uow:
            fresh = await inbox.admit(uow, [decode(record, NO_TRACE) for record in records])
            await requests.handle(uow, fresh)

    async def count(self, table: str) -> int:
        async with self.tested.rt.database.reading() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar())


@pytest.fixture
def has() -> Callable[..., Message]:
    """Makes routing's word that an agent has a ticket."""

    def make(ticket: Any, agent: Any, before: Any = None) -> Message:
        return routing.TicketAssigned(
            assignment=assignment_pb2.Assignment(
                ticket_id=ticket["id"],
                state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
                agent=agent,
                team="support",
            ),
            previous_agent=before,
        )

    return make


@pytest.fixture
def event(clock: ManualClock) -> Callable[..., Event[Any]]:
    """Makes an event of another service about a ticket."""

    def make(ticket: Any, message: Message, sequence: int = 1, **fields: Any) -> Event[Any]:
        owner = message.DESCRIPTOR.full_name.split(".")[1]
        return Event(
            **{
                "id": str(new_id()),
                "source": f"/waybill/{owner}",
                "type": message.DESCRIPTOR.full_name,
                "subject": ticket["id"],
                "time": clock.now(),
                "sequence": sequence,
                "message": message,
                "trace": TraceContext(f"00-{'ab' * 16}-{'cd' * 8}-01"),
                "topic": f"waybill.{owner}.events.v1",
                "partition": 0,
                "offset": sequence,
            }
            | fields
        )

    return make


@pytest.fixture
def record() -> Callable[..., ConsumerRecord[Any, Any]]:
    """Makes a record of the product `shop`."""
    offsets = itertools.count()

    def make(
        value: bytes | None,
        type: str = "TicketRequested",
        content_type: str = "application/json",
        topic: str = "waybill.requests.shop.v1",
        **headers: bytes | None,
    ) -> ConsumerRecord[Any, Any]:
        offset = next(offsets)
        found: dict[str, bytes | None] = {
            "ce_specversion": b"1.0",
            "ce_id": f"r{offset}".encode(),
            "ce_source": b"/shop",
            "ce_type": f"waybill.intake.v1.{type}".encode(),
            "content-type": content_type.encode(),
        }
        found |= headers
        pairs = [(name, text) for name, text in found.items() if text is not None]
        return ConsumerRecord(topic, 0, offset, 0, 0, None, value, None, 0, 0, pairs)

    return make


@pytest.fixture
async def intake_with(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> AsyncIterator[Callable[..., Awaitable[Intake]]]:
    """Makes intake with settings of the test's own, such as where its peers are."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Intake:
            service = tested_service(
                "intake",
                build,
                Settings,
                database_url=await new_service_database("intake"),
                mint=mint,
                clock=clock,
                **({"reconcile_pause_seconds": 0} | settings),
            )
            return Intake(await stack.enter_async_context(service))

        yield make


@pytest.fixture
async def intake(intake_with: Callable[..., Awaitable[Intake]]) -> Intake:
    """Intake with nobody else there."""
    return await intake_with()
