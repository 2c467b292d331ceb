"""What the relay asks of Kafka: rows sent in their order, and what became of each.

The producer is idempotent: the broker takes nothing whose predecessor in the partition is
missing. So after a refusal nothing else from the same producer gets through, and what is left is
sent by a new one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from sqlalchemy import Row

from waybill_chassis.events import TraceContext, headers

SEND_SECONDS = 10.0
"""A batch that is not acknowledged by then is given up, and sent anew by another producer."""

TOPIC_SECONDS = 1.0
"""How long a topic that nobody has heard of is waited for."""

PING_SECONDS = 2.0
_STOP_SECONDS = 1.0
_MOST_BYTES = 16 * 1024 * 1024

REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, PolicyViolationError)
"""The row itself is at fault: no later attempt will do better."""

_TOPIC_REFUSED = (InvalidTopicError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError)


@contextlib.asynccontextmanager
async def producing(servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer, connected; at the end whatever it still holds is dropped, never sent."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=256 * 1024,
        # What is too large is for the topic's own limit to say.
        max_request_size=_MOST_BYTES,
        request_timeout_ms=round(SEND_SECONDS * 1000),
    )
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await producer.start()
        yield producer
    finally:
        await _close(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
    if not stopping.done():
        # It would go on trying for ever, and send stale events when the broker comes back.
        producer._message_accumulator.fail_all(KafkaConnectionError("given up"))
        await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
    stopping.cancel()
    await asyncio.wait({stopping})
    if not stopping.cancelled():
        stopping.exception()


async def ping(producer: AIOKafkaProducer) -> None:
    """Raise `ConnectionError` if the broker does not answer."""
    try:
        async with asyncio.timeout(PING_SECONDS):
            await producer.client.fetch_all_metadata()
    except (KafkaError, TimeoutError) as error:
        raise ConnectionError(f"the broker does not answer: {error}") from None


async def refusal_of(producer: AIOKafkaProducer, topic: str) -> str | None:
    """Why nothing can be sent to `topic`; None when it can. Raises when the broker is away."""
    if producer.client.cluster.partitions_for_topic(topic):
        return None
    try:
        async with asyncio.timeout(TOPIC_SECONDS):
            await producer.partitions_for(topic)
    except _TOPIC_REFUSED as error:
        return type(error).__name__
    except TimeoutError:
        await ping(producer)
        return "there is no such topic"
    return None


async def send_all(
    producer: AIOKafkaProducer, rows: Sequence[Row[Any]]
) -> list[BaseException | None]:
    """Send all rows at once and wait for all: None or what went wrong, row by row."""
    async with asyncio.timeout(SEND_SECONDS):
        answers = await asyncio.gather(
            *[await _send(producer, row) for row in rows], return_exceptions=True
        )
    return [answer if isinstance(answer, BaseException) else None for answer in answers]


async def _send(producer: AIOKafkaProducer, row: Row[Any]) -> asyncio.Future[Any]:
    attributes = headers(
        id=str(row.id),
        source=row.source,
        type=row.type,
        subject=row.aggregateid,
        time=row.occurred_at,
        sequence=row.sequence,
        content_type=row.content_type,
        trace=TraceContext(row.traceparent, row.tracestate),
    )
    sent: asyncio.Future[Any]
    try:
        sent = await producer.send(
            row.topic, value=row.payload, key=row.key.encode(), headers=attributes
        )
    except REFUSED as error:
        sent = asyncio.get_running_loop().create_future()
        sent.set_exception(error)
    return sent
