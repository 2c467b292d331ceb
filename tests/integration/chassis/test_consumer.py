"""What the consumer promises, on a real database and a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event
from waybill_chassis.testing.producing import publish

NewTopic = Callable[..., Awaitable[str]]


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    await uow.execute(
        text("INSERT INTO effect SELECT unnest(CAST(:words AS text[]))"),
        {"words": [event.message.value for event in events]},
    )


@pytest.fixture
async def database(new_database: Database) -> Database:
    """Counts effects in a table that lets them repeat."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE effect (word text)"))
    return new_database


async def effects(database: Database) -> list[str]:
    async with database.reading() as connection:
        rows = await connection.execute(text("SELECT word FROM effect"))
        return sorted(row.word for row in rows)


async def until(found: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await found():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(database: Database, kafka: str, **settings: Any) -> AsyncIterator[Consumer]:
    settings = {
        "group": f"test-{uuid4().hex}",
        "handle": handle,
        "types": (StringValue,),
    } | settings
    consumer = Consumer(database, bootstrap_servers=kafka, **settings)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def test_an_event_that_comes_twice_has_its_effect_once(
    database: Database, kafka: str, new_topic: NewTopic
) -> None:
    """The inbox knows it by its source and id."""
    topic = await new_topic()
    for word in ("one", "two", "one"):
        await publish(kafka, topic, StringValue(value=word), subject="s", source="/t", id=word)
    async with running(database, kafka, topics=[topic]):
        await until(lambda: seen(database, ["one", "two"]))
        await publish(kafka, topic, StringValue(value="one"), subject="s", source="/t", id="one")
        await publish(kafka, topic, StringValue(value="three"), subject="s", source="/t")
        await until(lambda: seen(database, ["one", "three", "two"]))


async def seen(database: Database, words: Sequence[str]) -> bool:
    return await effects(database) == sorted(words)
