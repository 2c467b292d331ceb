"""A service under test, and tickets whose life is told to it event by event."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, Actor
from waybill.intake.v1 import events_pb2 as intake
from waybill.intake.v1.ticket_pb2 import MESSAGE_KIND_REPLY, Ticket
from waybill.kb.v1.events_pb2 import IssueRepeated
from waybill.routing.v1 import events_pb2 as routing
from waybill.routing.v1.assignment_pb2 import AgentState, Assignment, Presence
from waybill.sla.v1 import events_pb2
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import Event, TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_sla.bootstrap import build
from waybill_sla.consumers import handle
from waybill_sla.settings import Settings
from waybill_sla.timers import Timers

AGENT = Actor(kind=ACTOR_KIND_AGENT, id="ana@example.com", name="Ana", email="ana@example.com")
TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def made(message: Message, subject: str, at: datetime, source: str, sequence: int) -> Event[Any]:
    """An event as the consumer would hand it over."""
    return Event(
        id=str(new_id()),
        source=f"/waybill/{source}",
        type=message.DESCRIPTOR.full_name,
        subject=subject,
        time=at,
        sequence=sequence,
        message=message,
        trace=TRACE,
        topic=f"waybill.{source}.events.v1",
        partition=0,
        offset=sequence,
    )


@dataclass
class Story:
    """A ticket's life as intake and routing tell it; each step gives the event."""

    ticket: Ticket
    sequence: int = 0
    routed: int = 0
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = self.ticket.id

    def _tell(self, message: Message, at: datetime) -> Event[Any]:
        self.sequence += 1
        self.ticket.version += 1
        message.ticket.CopyFrom(self.ticket)
        message.actor.CopyFrom(AGENT)
        return made(message, self.id, at, "intake", self.sequence)

    def opened(self) -> Event[Any]:
        return self._tell(intake.TicketOpened(), self.ticket.created_at.ToDatetime(tzinfo=_utc))

    def moved(self, to: str, at: datetime) -> Event[Any]:
        ticket, before = self.ticket, self.ticket.status
        ticket.status = words.Status.Value(f"STATUS_{to.upper()}")
        ticket.status_since.FromDatetime(at)
        self._episode(at)
        if to == "resolved":
            ticket.resolved_at.FromDatetime(at)
        elif to == "closed":
            ticket.closed_at.FromDatetime(at)
        elif before == words.STATUS_RESOLVED:
            ticket.ClearField("resolved_at")
            ticket.reopened_at.FromDatetime(at)
            ticket.reopenings += 1
        return self._tell(intake.TicketStatusChanged(**{"from": before}, to=ticket.status), at)

    def replied(self, at: datetime) -> Event[Any]:
        first = not self.ticket.HasField("first_response_at")
        if first:
            self.ticket.first_response_at.FromDatetime(at)
        self._episode(at)
        message = intake.MessagePosted()
        message.message.kind = MESSAGE_KIND_REPLY
        message.message.first_response = first
        return self._tell(message, at)

    def noted(self, at: datetime) -> Event[Any]:
        return self._tell(intake.MessagePosted(), at)

    def edited(self, priority: str, at: datetime) -> Event[Any]:
        self.ticket.priority = words.Priority.Value(f"PRIORITY_{priority.upper()}")
        return self._tell(intake.TicketEdited(), at)

    def erased(self, at: datetime) -> Event[Any]:
        message = intake.PersonErased(
            submitter_id=self.ticket.submitter.id, ticket_ids=[self.id], actor=AGENT
        )
        return made(message, self.ticket.submitter.id, at, "intake", 1)

    def assigned(self, at: datetime, to: str = "", team: str = "") -> Event[Any]:
        assignment = Assignment(ticket_id=self.id, team=team)
        if to:
            assignment.agent.email, assignment.agent.name = to, to.partition("@")[0].title()
        return self._route(routing.TicketAssigned(assignment=assignment), at)

    def queued(self, at: datetime, since: datetime, team: str = "") -> Event[Any]:
        assignment = Assignment(ticket_id=self.id, team=team)
        assignment.unassigned_since.FromDatetime(since)
        return self._route(routing.TicketQueued(assignment=assignment), at)

    def arrived(self, who: str, presence: str, at: datetime, number: int, team: str) -> Event[Any]:
        """That somebody comes or goes; of no ticket."""
        state = AgentState(presence=Presence.Value(f"PRESENCE_{presence.upper()}"), teams=[team])
        state.agent.email = who
        state.since.FromDatetime(at)
        message = routing.AgentPresenceChanged(agent_state=state)
        return made(message, who, at, "routing", number)

    def repeated(self, count: int, at: datetime) -> Event[Any]:
        return made(IssueRepeated(ticket_id=self.id, count=count), self.id, at, "kb", 1)

    def _route(self, message: Message, at: datetime) -> Event[Any]:
        self.routed += 1
        return made(message, self.id, at, "routing", self.routed)

    def _episode(self, at: datetime) -> None:
        self.ticket.episode += 1
        self.ticket.episode_since.FromDatetime(at)


_utc = ManualClock().now().tzinfo


class Sla:
    """The service, driven by hand: events in, timers fired, what was told read from the outbox."""

    def __init__(self, service: TestedService[Settings]) -> None:
        self.service = service
        self.clock = service.clock
        self.client = service.client
        self.mint = service.mint
        self.database = service.rt.database
        self.timers = Timers(self.database)
        self._numbers = 0

    def ticket(self, priority: str = "medium", **fields: Any) -> Story:
        self._numbers += 1
        ticket = Ticket(
            id=str(new_id()),
            number=f"WB-{1000 + self._numbers}",
            product="demo",
            type=words.TICKET_TYPE_TECHNICAL,
            priority=words.Priority.Value(f"PRIORITY_{priority.upper()}"),
            status=words.STATUS_PENDING,
            episode=1,
            **fields,
        )
        ticket.submitter.id = str(new_id())
        ticket.submitter.email = "sam@example.com"
        for moment in (ticket.created_at, ticket.status_since, ticket.episode_since):
            moment.FromDatetime(self.clock.now())
        return Story(ticket)

    async def hear(self, *events: Event[Any]) -> None:
        async with self.database.unit_of_work() as uow:
            await handle(uow, events)

    async def pass_time(self, **by: float) -> None:
        """Move the clock and fire what comes due."""
        self.clock.advance(timedelta(**by))
        await self.timers.turn()

    async def told(self, story: Story, since: int = 0) -> list[Any]:
        """All that was told of a ticket after the first `since` events, as messages."""
        return [message for message, _ in await self.told_at(story, since)]

    async def told_at(self, story: Story, since: int = 0) -> list[tuple[Any, datetime]]:
        async with self.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT * FROM outbox WHERE aggregateid = :id ORDER BY position OFFSET :n"),
                {"id": story.id, "n": since},
            )
            return [
                (
                    getattr(events_pb2, row.type.rpartition(".")[2]).FromString(row.payload),
                    row.occurred_at,
                )
                for row in rows.all()
            ]

    async def names(self, story: Story, since: int = 0) -> list[str]:
        return [type(message).__name__ for message in await self.told(story, since)]

    async def timer_rows(self, story: Story) -> list[Any]:
        async with self.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT * FROM timers WHERE ticket_id = :id ORDER BY due_at"),
                {"id": UUID(story.id)},
            )
            return list(rows.all())


@pytest.fixture
async def sla(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> AsyncIterator[Sla]:
    url = await new_service_database("sla")
    async with tested_service(
        "sla", build, Settings, database_url=url, mint=mint, clock=clock
    ) as service:
        yield Sla(service)


@pytest.fixture
def driven() -> Callable[[TestedService[Settings]], Sla]:
    """Drives a service that the test has built itself."""
    return Sla
