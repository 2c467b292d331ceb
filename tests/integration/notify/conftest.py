"""Events as other services tell them, a real mail server that misbehaves on demand, a sender."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import SMTP
from sqlalchemy import text
from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.intake.v1 import events_pb2, ticket_pb2
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import events_pb2 as routing_pb2
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import Event, TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_notify.bootstrap import build
from waybill_notify.consumers import handle
from waybill_notify.letters import NO_LINKS, Letters
from waybill_notify.mail import MailServer
from waybill_notify.sender import Sender
from waybill_notify.settings import Settings

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SUBMITTER = ticket_pb2.Submitter(id="s1", email="kim@example.org", name="Kim")


class Told:
    """Makes events about one ticket, as intake and routing number them."""

    def __init__(self, clock: ManualClock, *, product: str = "demo", **ticket: Any) -> None:
        self.clock = clock
        self.id = new_id()
        self.sequence = 0
        self.assignments = 0
        self.ticket = ticket_pb2.Ticket(
            **{
                "id": str(self.id),
                "number": "WB-1042",
                "product": product,
                "type": ticket_enums_pb2.TICKET_TYPE_TECHNICAL,
                "priority": ticket_enums_pb2.PRIORITY_HIGH,
                "status": ticket_enums_pb2.STATUS_PENDING,
                "title": "The door <b>squeaks</b>",
                "description": "It squeaks & squeaks",
                "submitter": SUBMITTER,
                "channel": ticket_enums_pb2.CHANNEL_API,
                "occurrences": 1,
            }
            | ticket
        )

    def event(self, message: Any, *, source: str = "intake", sequence: int = 0) -> Event[Any]:
        return Event(
            id=str(new_id()),
            source=f"/waybill/{source}",
            type=message.DESCRIPTOR.full_name,
            subject=str(self.id),
            time=self.clock.now(),
            sequence=sequence,
            message=message,
            trace=TRACE,
            topic=f"waybill.{source}.events.v1",
            partition=0,
            offset=0,
        )

    def intake(self, kind: Any, *, actor: Any = None, **fields: Any) -> Event[Any]:
        self.sequence += 1
        self.ticket.version = self.sequence
        message = kind(
            actor=actor or self.submitter(),
            cause=actor_pb2.Cause(
                kind=actor_pb2.CAUSE_KIND_REQUEST, id="r1", type="POST /v1/tickets"
            ),
            ticket=self.ticket,
        )
        for name, value in fields.items():
            if hasattr(value, "DESCRIPTOR"):
                getattr(message, name).CopyFrom(value)
            elif isinstance(value, list):
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)
        return self.event(message, sequence=self.sequence)

    def submitter(self) -> Any:
        return actor_pb2.Actor(
            kind=actor_pb2.ACTOR_KIND_SUBMITTER, id="s1", name="Kim", email="kim@example.org"
        )

    def agent(self, email: str = "ana@example.com") -> Any:
        return actor_pb2.Actor(kind=actor_pb2.ACTOR_KIND_AGENT, id=email, name="Ana", email=email)

    def automation(self) -> Any:
        return actor_pb2.Actor(kind=actor_pb2.ACTOR_KIND_AUTOMATION, id="intake")

    def opened(self) -> Event[Any]:
        return self.intake(events_pb2.TicketOpened)

    def message(
        self, body: str, *, actor: Any = None, kind: Any = ticket_pb2.MESSAGE_KIND_REPLY
    ) -> Event[Any]:
        actor = actor or self.agent()
        posted = ticket_pb2.Message(
            id=str(new_id()), ticket_id=str(self.id), kind=kind, author=actor, body=body
        )
        return self.intake(events_pb2.MessagePosted, actor=actor, message=posted)

    def moved(self, to: str, *, reason: str = "", actor: Any = None, comment: str = "") -> Any:
        before, self.ticket.status = (
            self.ticket.status,
            getattr(ticket_enums_pb2, f"STATUS_{to.upper()}"),
        )
        number = getattr(ticket_enums_pb2, f"CLOSE_REASON_{reason.upper()}") if reason else 0
        self.ticket.close_reason = number
        return self.intake(
            events_pb2.TicketStatusChanged,
            actor=actor or self.agent(),
            to=self.ticket.status,
            reason=number,
            comment=comment,
            **{"from": before},
        )

    def unsubscribed(self) -> Event[Any]:
        self.ticket.unsubscribed_at.FromDatetime(self.clock.now())
        return self.intake(events_pb2.TicketEdited)

    def assigned(self, name: str = "Ana") -> Event[Any]:
        self.assignments += 1
        message = routing_pb2.TicketAssigned(
            actor=self.automation(),
            assignment=assignment_pb2.Assignment(
                ticket_id=str(self.id),
                state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
                agent=actor_pb2.Agent(id=str(uuid4()), name=name),
                team="support",
                version=self.assignments,
            ),
        )
        return self.event(message, source="routing", sequence=self.assignments)


class Sink:
    """A real SMTP server that answers the next mails with `answers` instead of a 250.

    "drop" keeps the mail and breaks the connection off before it says so.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.answers: list[str] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[SMTP] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def connected() -> SMTP:
            self.connections += 1
            smtp = SMTP(self, enable_SMTPUTF8=True, ident="Sink", loop=loop)
            self._open.add(smtp)
            return smtp

        self._server = await loop.create_server(connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for smtp in self._open:
            if smtp.transport is not None:
                smtp.transport.abort()
        self._open.clear()
        await self._server.wait_closed()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        answer = self.answers.pop(0) if self.answers else "250 kept"
        if answer == "drop" or answer.startswith("250"):
            self.raw.append(envelope.original_content)
            self.mails.append(message_from_bytes(envelope.original_content, policy=default))
        if answer == "drop":
            server.transport.abort()
        return answer


@dataclass
class Asked:
    """Stands in for intake and kb: counts, and answers what it is told to."""

    links: Any = NO_LINKS
    answer: Any = None
    count: int = 0
    hook: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, delivery: Any) -> Any:
        self.count += 1
        if self.hook is not None:
            await self.hook()
        return self.links, self.answer


@dataclass
class Notify:
    """The service under test, its mail server, and what it tells."""

    service: TestedService[Settings]
    sink: Sink
    asked: Asked = field(default_factory=Asked)

    @property
    def clock(self) -> ManualClock:
        return self.service.clock

    def ticket(self, **ticket: Any) -> Told:
        return Told(self.clock, **ticket)

    async def hear(self, *events: Event[Any]) -> None:
        async with self.service.rt.database.unit_of_work() as uow:
            await handle(uow, events, feed_products=frozenset({"demo"}), mail_domain="example.com")

    def sender(self, **changes: Any) -> Sender:
        settings = self.service.rt.settings.model_copy(
            update={"smtp_host": "127.0.0.1", "smtp_port": self.sink.port} | changes
        )
        mail = MailServer(
            "127.0.0.1", self.sink.port, timeout=settings.smtp_timeout_seconds, tls="none"
        )
        return Sender(
            self.service.rt.database, mail, Letters(), self.asked, settings, chance=lambda: 0.5
        )

    @asynccontextmanager
    async def sending(self, **changes: Any) -> AsyncIterator[Sender]:
        sender = self.sender(**changes)
        await sender.start()
        try:
            yield sender
        finally:
            await sender.stop()

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.service.rt.database.reading() as connection:
            return list(await connection.execute(text(sql), values))

    async def deliveries(self) -> list[Any]:
        return await self.rows("SELECT * FROM deliveries ORDER BY id")

    async def until(self, holds: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(20):
            while not (found := await holds()):
                await asyncio.sleep(0.01)
            return found

    async def until_state(self, state: str, count: int = 1) -> list[Any]:
        async def holds() -> Any:
            rows = [row for row in await self.deliveries() if row.state == state]
            return rows if len(rows) >= count else None

        return await self.until(holds)

    async def told(self, topic: str) -> list[Any]:
        return await self.rows(
            "SELECT * FROM outbox WHERE topic = :topic ORDER BY position", topic=topic
        )


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    server = Sink()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def notify(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    sink: Sink,
) -> AsyncIterator[Notify]:
    async with tested_service(
        "notify",
        build,
        Settings,
        database_url=await new_service_database("notify"),
        mint=mint,
        clock=clock,
        smtp_timeout_seconds=3.0,
        poll_seconds=0.05,
    ) as service:
        yield Notify(service, sink)


@pytest.fixture
def pb() -> SimpleNamespace:
    """The contracts' modules that tests speak of."""
    return SimpleNamespace(
        actor=actor_pb2,
        enums=ticket_enums_pb2,
        intake=events_pb2,
        ticket=ticket_pb2,
        routing=routing_pb2,
        assignment=assignment_pb2,
        UUID=UUID,
    )
