"""The relay: publishes what the outbox holds, in the order of each aggregate, and deletes it.

It reads whatever rows are there, oldest first; it keeps no high-water mark, because rows commit
in another order than they are numbered. Rows of one aggregate become visible in their order (see
`outbox`), one shard has one owner at a time (see `leases`), and a batch is deleted only when the
broker has acknowledged all of it. After a crash the same rows are published again, under the same
`ce_id`: consumers know a duplicate by it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError

from waybill_chassis.database import Database
from waybill_chassis.events import TraceContext, headers
from waybill_chassis.ids import new_id
from waybill_chassis.leases import RENEW_SECONDS, Leases
from waybill_chassis.outbox import SHARDS

BATCH = 500
"""Rows published together."""

IDLE_SECONDS = 0.2
"""How often the outbox is looked at when nobody rings: five queries a second."""

RETRY_SECONDS = 1.0
"""Pause after the broker or the database did not answer."""

_READ = text(
    """
    SELECT position, id, aggregateid, type, payload, topic, key, source, sequence, occurred_at,
           content_type, traceparent, tracestate, shard
    FROM outbox WHERE shard = ANY (CAST(:shards AS smallint[]))
    ORDER BY position LIMIT :most
    """
)

# A former owner must not delete: the new one may not have published yet.
_DELETE = text(
    """
    DELETE FROM outbox AS o USING lease AS l
    WHERE o.position = ANY (CAST(:positions AS bigint[]))
      AND l.kind = 'relay' AND l.shard = o.shard
      AND l.epoch = (CAST(:epochs AS bigint[]))[o.shard + 1]
    """
)

log = structlog.get_logger(__name__)


class Relay:
    """Publishes one service's outbox. Any number of replicas may run; they share the shards."""

    name = "relay"

    def __init__(self, database: Database, *, bootstrap_servers: str, owner: str = "") -> None:
        """`owner` names this process among its replicas (default: a fresh id)."""
        self._database = database
        self._servers = bootstrap_servers
        self._leases = Leases(database, kind="relay", owner=owner or str(new_id()), shards=SHARDS)
        self._bell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def wake(self) -> None:
        """Look at the outbox now: something was written."""
        self._bell.set()

    async def start(self) -> None:
        """Begin to publish; a broker or database that is away is waited for in the background."""
        self._stopping = False
        self._database.on_commit.append(self.wake)
        self._tasks = [asyncio.create_task(self._renew()), asyncio.create_task(self._publish())]

    async def stop(self) -> None:
        """Finish the batch in hand and give the shards back."""
        self._stopping = True
        self._database.on_commit.remove(self.wake)
        self.wake()
        renewing, publishing = self._tasks
        await asyncio.wait({publishing}, timeout=10)
        for task in (renewing, publishing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(SQLAlchemyError, OSError):
            await self._leases.release()

    async def wait(self) -> None:
        """Return only when the relay has ended."""
        await asyncio.gather(*self._tasks)

    async def _renew(self) -> None:
        created = False
        while True:
            try:
                if not created:
                    await self._leases.create()
                    created = True
                before = self._leases.held.epochs
                if (await self._leases.renew()).epochs != before:
                    self.wake()
            except (SQLAlchemyError, OSError) as error:
                log.warning("leases not renewed", reason=str(error))
            await asyncio.sleep(RENEW_SECONDS)

    async def _publish(self) -> None:
        while not self._stopping:
            try:
                async with _producer(self._servers) as producer:
                    await self._publish_with(producer)
            except (KafkaError, SQLAlchemyError, OSError) as error:
                # A new producer, so that what is left of the old one's queue is never sent.
                log.warning("relay starts anew", reason=repr(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _publish_with(self, producer: AIOKafkaProducer) -> None:
        while not self._stopping:
            self._bell.clear()
            if await self._publish_batch(producer) < BATCH:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), IDLE_SECONDS)

    async def _publish_batch(self, producer: AIOKafkaProducer) -> int:
        held = self._leases.held
        if not held.valid():
            return 0
        async with self._database.reading() as connection:
            rows = (
                await connection.execute(_READ, {"shards": list(held.epochs), "most": BATCH})
            ).all()
        if not rows or not held.valid():
            return 0
        acknowledged = await asyncio.gather(*[await _send(producer, row) for row in rows])
        assert len(acknowledged) == len(rows)
        await self._delete(rows, held.epochs)
        return len(rows)

    async def _delete(self, rows: Sequence[Row[Any]], epochs: dict[int, int]) -> None:
        async with self._database.unit_of_work() as uow:
            await uow.execute(
                _DELETE,
                {
                    "positions": [row.position for row in rows],
                    "epochs": [epochs.get(shard, -1) for shard in range(SHARDS)],
                },
            )


@contextlib.asynccontextmanager
async def _producer(servers: str) -> Any:
    # Idempotent: the broker refuses a batch whose predecessor in its partition is missing.
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=0
    )
    await producer.start()
    try:
        yield producer
    finally:
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(producer.stop(), 5)


async def _send(producer: AIOKafkaProducer, row: Row[Any]) -> asyncio.Future[Any]:
    sent: asyncio.Future[Any] = await producer.send(
        row.topic,
        value=row.payload,
        key=row.key.encode(),
        headers=headers(
            id=str(row.id),
            source=row.source,
            type=row.type,
            subject=row.aggregateid,
            time=row.occurred_at,
            sequence=row.sequence,
            content_type=row.content_type,
            trace=TraceContext(row.traceparent, row.tracestate),
        ),
    )
    return sent
