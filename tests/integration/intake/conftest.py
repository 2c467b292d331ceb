"""Intake over a real database, as the tests drive it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from waybill.intake.v1 import events_pb2
from waybill_chassis.clock import ManualClock
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_intake.bootstrap import build
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

    async def move(self, ticket: dict[str, Any], *path: str, role: str = "agent") -> dict[str, Any]:
        for to in path:
            ticket = await self.ask(
                "POST", f"/v1/tickets/{ticket['id']}/transitions", {"to": to}, role=role
            )
        return ticket

    async def read(self, ticket: dict[str, Any]) -> dict[str, Any]:
        return await self.ask("GET", f"/v1/tickets/{ticket['id']}")

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

    async def count(self, table: str) -> int:
        async with self.tested.rt.database.reading() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar())


@pytest.fixture
async def intake(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> AsyncIterator[Intake]:
    """Intake with nobody else there."""
    url = await new_service_database("intake")
    async with tested_service(
        "intake", build, Settings, database_url=url, mint=mint, clock=clock
    ) as tested:
        yield Intake(tested)
