"""Publishes events as the relay would, for tests of what consumes them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer
from google.protobuf.message import Message

from waybill_chassis.events import NO_TRACE, TraceContext, headers
from waybill_chassis.ids import new_id

Headers = Sequence[tuple[str, bytes | None]]


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer for several records."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def event_of(
    message: Message,
    *,
    subject: UUID | str,
    source: str,
    sequence: int | None = None,
    id: UUID | str | None = None,
    time: datetime | None = None,
    trace: TraceContext = NO_TRACE,
) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of an event's record."""
    return message.SerializeToString(), headers(
        id=str(id or new_id()),
        source=source,
        type=message.DESCRIPTOR.full_name,
        subject=str(subject),
        time=time or datetime.now(UTC),
        sequence=sequence,
        trace=trace,
    )


async def publish(
    bootstrap: str,
    topic: str,
    message: Message,
    *,
    subject: UUID | str,
    source: str,
    more: Headers = (),
    **attributes: Any,
) -> None:
    """Publish one event and wait for the broker.

    `attributes` are those of `event_of`; `more` are further headers.
    """
    value, known = event_of(message, subject=subject, source=source, **attributes)
    await publish_raw(
        bootstrap, topic, value=value, key=str(subject).encode(), headers=[*known, *more]
    )


async def publish_raw(
    bootstrap: str,
    topic: str,
    *,
    value: bytes | None,
    key: bytes | None = None,
    headers: Headers = (),
) -> None:
    """Publish a record as it is, however wrong, and wait for the broker."""
    async with producing(bootstrap) as producer:
        await producer.send_and_wait(topic, value=value, key=key, headers=list(headers))
