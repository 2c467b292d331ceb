"""A service in small, whose effects can be counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from waybill.common.v1.dead_letter_pb2 import DeadLetter
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event


class Effects:
    """Writes each word that comes into a table where it may stand more than once."""

    def __init__(self, database: Database, kafka: str) -> None:
        self.database = database
        self.kafka = kafka
        self.group = f"test-{uuid4().hex}"

    async def handle(self, uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        await uow.execute(
            text("INSERT INTO effect (word) SELECT unnest(CAST(:words AS text[]))"),
            {"words": [event.message.value for event in events]},
        )

    @asynccontextmanager
    async def consumer(
        self, database: Database | None = None, **settings: Any
    ) -> AsyncIterator[Consumer]:
        """A running consumer; `settings` replace what it is usually made with."""
        usual = {"group": self.group, "handle": self.handle, "types": (StringValue,)}
        consumer = Consumer(
            database or self.database, bootstrap_servers=self.kafka, **(usual | settings)
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def words(self) -> list[str]:
        """What was done, in the order it was done."""
        async with self.database.reading() as connection:
            rows = await connection.execute(text("SELECT word FROM effect ORDER BY id"))
            return [row.word for row in rows]

    async def letters(self) -> list[DeadLetter]:
        """What was put aside."""
        async with self.database.reading() as connection:
            rows = await connection.execute(
                text("SELECT payload FROM outbox WHERE topic LIKE '%dead%' ORDER BY position")
            )
            return [DeadLetter.FromString(row.payload) for row in rows]

    async def become(self, words: Sequence[str], seconds: float = 30) -> None:
        """Wait until just these effects are there."""
        await self.until(lambda: self._are(sorted(words)), seconds)

    async def _are(self, words: Sequence[str]) -> bool:
        return sorted(await self.words()) == words

    async def until(self, found: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not await found():
                await asyncio.sleep(0.05)


@pytest.fixture
async def effects(new_database: Database, kafka: str) -> Effects:
    """A service whose effects can be counted."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(
            text("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, word text)")
        )
    return Effects(new_database, kafka)
