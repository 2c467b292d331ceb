"""Routing over a real database, told by events made here, asked over HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import UUID

import pytest
from google.protobuf.message import Message
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1 import service_pb2 as intake_pb2
from waybill.intake.v1 import service_pb2_grpc as intake_grpc
from waybill.intake.v1.events_pb2 import TicketEdited, TicketOpened, TicketStatusChanged
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill.routing.v1 import events_pb2
from waybill.sla.v1.events_pb2 import TicketEscalated
from waybill_chassis.events import NO_TRACE, Event, events_topic
from waybill_chassis.health import Health
from waybill_chassis.ids import new_id
from waybill_chassis.problems import NotFound
from waybill_chassis.rpc import GrpcServer, Peers, Servicer
from waybill_chassis.settings import SERVICES
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_routing import usecases
from waybill_routing.bootstrap import build
from waybill_routing.consumers import handle
from waybill_routing.settings import Settings


def token_file(service: TestedService[Settings]) -> Path:
    """A file with the token of another service, beside the keys."""
    path = Path(url2pathname(urlsplit(service.mint.jwks_url).path)).with_name("peer-token")
    path.write_text(service.mint.token("service", sub="sla"))
    return path


@dataclass
class Routing:
    """The service, and shorthands for what is told to it and asked of it."""

    service: TestedService[Settings]
    agents: dict[str, UUID] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        return self.service.client

    @property
    def database(self) -> Any:
        return self.service.rt.database

    def headers(self, *roles: str, **options: Any) -> dict[str, str]:
        return self.service.mint.headers(*(roles or ("agent",)), **options)

    async def add_agent(
        self,
        name: str,
        *teams: str,
        capacity: int = 200,
        presence: str = "available",
    ) -> UUID:
        answer = await self.client.post(
            "/v1/agents",
            headers=self.headers("admin", sub="root@example.com"),
            json={
                "email": f"{name}@example.com",
                "name": name.title(),
                "teams": list(teams) or ["support"],
                "capacity": capacity,
                "presence": presence,
            },
        )
        assert answer.status_code == 201, answer.text
        self.agents[name] = UUID(answer.json()["id"])
        return self.agents[name]

    async def call(
        self, method: str, path: str, body: Any = None, *, match: str | None = None
    ) -> Any:
        """As an administrator."""
        headers = self.headers("admin", sub="root@example.com")
        if match is not None:
            headers["If-Match"] = match
        return await self.client.request(method, path, headers=headers, json=body)

    async def settings(self, **changes: Any) -> None:
        answer = await self.call("PUT", "/v1/routing/settings", changes, match="*")
        assert answer.status_code == 200, answer.text

    async def pass_time(self) -> int:
        """What happens by itself; how many shifts began or ended."""
        turned = 0
        for step in (
            usecases.keep_duty,
            usecases.hush,
            usecases.wake,
            usecases.recall,
            usecases.drain,
        ):
            async with self.database.unit_of_work() as uow:
                found = await step(uow)
            turned += found if step is usecases.keep_duty else 0
        return turned

    async def weights(self, name: str) -> tuple[int, int]:
        """How many tickets an agent has, and what they weigh."""
        (row,) = await self.rows(
            "SELECT open_tickets, load FROM agents WHERE email = :email",
            email=f"{name}@example.com",
        )
        return row.open_tickets, row.load

    async def presences(self) -> dict[str, str]:
        rows = await self.rows("SELECT name, presence FROM agents WHERE removed_at IS NULL")
        return {row.name: row.presence for row in rows}

    def sql(self, statement: str) -> Any:
        return text(statement)

    def ticket(
        self,
        id: UUID | None = None,
        *,
        status: int = words.STATUS_PENDING,
        priority: int = words.PRIORITY_MEDIUM,
        type: int = words.TICKET_TYPE_TECHNICAL,
        product: str = "demo",
        opened_at: datetime | None = None,
        **more: Any,
    ) -> Ticket:
        ticket = Ticket(
            id=str(id or new_id()),
            number="WB-1",
            product=product,
            type=type,
            priority=priority,
            status=status,
            **more,
        )
        ticket.created_at.FromDatetime(opened_at or self.service.clock.now())
        return ticket

    def event(
        self, message: Message, subject: str, sequence: int, *, owner: str = "intake"
    ) -> Event[Any]:
        return Event(
            id=str(new_id()),
            source=f"/waybill/{owner}",
            type=message.DESCRIPTOR.full_name,
            subject=subject,
            time=self.service.clock.now(),
            sequence=sequence,
            message=message,
            trace=NO_TRACE,
            topic=events_topic(owner),
            partition=0,
            offset=0,
        )

    def opened(self, ticket: Ticket, sequence: int = 1) -> Event[Any]:
        return self.event(TicketOpened(ticket=ticket), ticket.id, sequence)

    def edited(self, ticket: Ticket, sequence: int) -> Event[Any]:
        return self.event(TicketEdited(ticket=ticket), ticket.id, sequence)

    def moved(self, ticket: Ticket, status: int, sequence: int) -> Event[Any]:
        changed = Ticket()
        changed.CopyFrom(ticket)
        changed.status = status
        message = TicketStatusChanged(ticket=changed, to=status)
        setattr(message, "from", ticket.status)
        return self.event(message, ticket.id, sequence)

    def escalated(self, ticket: Ticket, *teams: str, sequence: int = 1) -> Event[Any]:
        return self.event(TicketEscalated(teams=teams), ticket.id, sequence, owner="sla")

    async def hear(self, *events: Event[Any]) -> None:
        async with self.database.unit_of_work() as uow:
            await handle(uow, events)

    async def open(self, **facts: Any) -> Ticket:
        ticket = self.ticket(**facts)
        await self.hear(self.opened(ticket))
        return ticket

    async def told(self, subject: Any) -> list[Any]:
        """What was told of a ticket or an agent, in order."""
        async with self.database.reading() as connection:
            rows = await connection.execute(
                text(
                    "SELECT type, payload FROM outbox WHERE aggregateid = :id"
                    " AND type LIKE 'waybill.routing.%' ORDER BY sequence"
                ),
                {"id": str(subject)},
            )
            kinds = [(row.type.rpartition(".")[2], row.payload) for row in rows]
        return [getattr(events_pb2, name).FromString(payload) for name, payload in kinds]

    async def rows(self, query: str, **parameters: Any) -> Sequence[Any]:
        async with self.database.reading() as connection:
            return (await connection.execute(text(query), parameters)).all()

    async def loads(self) -> dict[str, int]:
        rows = await self.rows("SELECT name, open_tickets FROM agents")
        return {row.name: row.open_tickets for row in rows}

    async def assignment(self, ticket: Ticket, **options: Any) -> dict[str, Any]:
        answer = await self.client.get(
            f"/v1/tickets/{ticket.id}/assignment", headers=self.headers("agent", **options)
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def _peer(self) -> AsyncIterator[Any]:
        """Routing as another service sees it, over a real connection."""
        rt, token = self.service.rt, token_file(self.service)
        server = GrpcServer(
            self.service.edges.servicers,
            host="127.0.0.1",
            port=0,
            verifier=rt.verifier,
            health=rt.health,
            grace=0.1,
        )
        await server.start()
        address = f"127.0.0.1:{server.port}"
        peers = Peers(dict.fromkeys(SERVICES, address), token_file=token)
        try:
            yield peers.routing
        finally:
            await peers.stop()
            await server.stop()

    async def ask(self, method: str, request: Any) -> Any:
        async with self._peer() as peer:
            return await peer.ask(getattr(peer.stub, method), request, timeout=20.0)

    async def stream(self, request: Any) -> list[Any]:
        async with self._peer() as peer:
            found = peer.stream(peer.stub.StreamAssignments, request, timeout=20.0)
            return [item async for item in found]

    async def claim(self, ticket: Any, name: str, **options: Any) -> Any:
        return await self.client.post(
            f"/v1/tickets/{getattr(ticket, 'id', ticket)}/assignment/claim",
            headers=self.headers("agent", sub=f"{name}@example.com", **options),
        )


@pytest.fixture
def routing_over(new_service_database: Any, mint: Any, clock: Any) -> Any:
    """Routing with settings of the test's own."""

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Routing]:
        async with tested_service(
            "routing",
            build,
            Settings,
            database_url=await new_service_database("routing"),
            mint=mint,
            clock=clock,
            reconcile_pause_seconds=0.0,
            **settings,
        ) as service:
            yield Routing(service)

    return make


@pytest.fixture
async def routing(routing_over: Any) -> AsyncIterator[Routing]:
    """Routing whose peers are away."""
    async with routing_over() as found:
        yield found


class Intake(intake_grpc.TicketServiceServicer):
    """An intake that holds a few tickets, each with the number of its last event."""

    def __init__(self) -> None:
        self.tickets: dict[str, tuple[Ticket, int]] = {}

    async def GetTicket(self, request: Any, context: Any) -> Any:  # noqa: N802
        for ticket, sequence in self.tickets.values():
            if request.id_or_number in (ticket.id, ticket.number):
                return intake_pb2.GetTicketResponse(ticket=ticket, sequence=sequence)
        raise NotFound("no such ticket")

    async def StreamTickets(self, request: Any, context: Any) -> Any:  # noqa: N802
        for ticket, sequence in self.tickets.values():
            if not request.ticket_ids or ticket.id in request.ticket_ids:
                yield intake_pb2.StreamTicketsResponse(ticket=ticket, sequence=sequence)


@pytest.fixture
async def intake(mint: Any) -> AsyncIterator[tuple[Intake, str]]:
    """A real server, and its address."""
    holder = Intake()
    server = GrpcServer(
        [
            Servicer(
                intake_grpc.add_TicketServiceServicer_to_server,
                holder,
                "waybill.intake.v1.TicketService",
            )
        ],
        host="127.0.0.1",
        port=0,
        verifier=mint.verifier(),
        health=Health(),
        grace=0.1,
    )
    await server.start()
    yield holder, f"127.0.0.1:{server.port}"
    await server.stop()


@pytest.fixture
async def routing_and_intake(
    routing_over: Any, intake: Any, mint: Any, tmp_path: Any
) -> AsyncIterator[Routing]:
    """Routing that can reach this intake."""
    token = tmp_path / "token"
    token.write_text(mint.token("service", sub="routing"))
    async with routing_over(intake_grpc=intake[1], service_token_file=token) as found:
        yield found
