"""The relay: publishes what the outbox holds, in the order of each aggregate, and deletes it.

It reads whatever rows are there, oldest first; it keeps no high-water mark, because rows commit
in another order than they are numbered. Rows of one aggregate become visible in their order (see
`outbox`), one shard has one owner at a time (see `leases`), and a batch is deleted only when the
broker has acknowledged all of it. After a crash the same rows are published again, under the same
`ce_id`: consumers know a duplicate by it.

A row that the broker will never take, because it is too large say, must not block those behind
it: it is parked. It stays in the outbox under a negative shard, which nobody publishes, is logged
with its reason and counted by `waybill_relay_parked_rows`. Once the cause is gone,
`UPDATE outbox SET shard = -1 - shard WHERE shard < 0` publishes it after all. A topic that does
not exist or may not be written is another matter: its rows wait, and only they, until it does.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError

from waybill_chassis import metrics
from waybill_chassis.database import Database
from waybill_chassis.ids import new_id
from waybill_chassis.leases import RENEW_SECONDS, Leases
from waybill_chassis.outbox import SHARDS
from waybill_chassis.publishing import REFUSED, ping, producing, refusal_of, send_all

BATCH = 500
"""Rows published together."""

IDLE_SECONDS = 0.25
"""How often the outbox is looked at when nobody rings: four queries a second."""

RETRY_SECONDS = 1.0
"""Pause after the broker or the database did not answer."""

HOLD_SECONDS = 10.0
"""How long the rows of a topic that cannot be written wait for the next try."""

MEASURE_SECONDS = 5.0
"""How often the backlog is counted."""

_READ = text(
    """
    SELECT position, id, aggregateid, type, payload, topic, key, source, sequence, occurred_at,
           recorded_at, content_type, traceparent, tracestate, shard
    FROM outbox
    WHERE shard = ANY (CAST(:shards AS smallint[])) AND topic <> ALL (CAST(:held AS text[]))
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

_PARK = text(
    """
    UPDATE outbox AS o SET shard = -1 - o.shard FROM lease AS l
    WHERE o.position = :position AND l.kind = 'relay' AND l.shard = o.shard AND l.epoch = :epoch
    """
)

# Counting a long backlog to its end would only make it longer.
_MEASURE = text(
    """
    SELECT count(*) FILTER (WHERE shard >= 0) AS waiting,
           count(*) FILTER (WHERE shard < 0) AS parked,
           coalesce(extract(epoch FROM clock_timestamp()
                            - min(recorded_at) FILTER (WHERE shard >= 0)), 0) AS oldest
    FROM (SELECT shard, recorded_at FROM outbox ORDER BY position LIMIT 100000) AS o
    """
)

log = structlog.get_logger(__name__)

_Gone = (KafkaError, SQLAlchemyError, OSError)


class _AnewError(Exception):
    """The producer is spent: go on with another one, at once."""


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
        self._producer: AIOKafkaProducer | None = None
        self._held: dict[str, float] = {}
        self._careful = False
        self._states: dict[str, str] = {}

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
        with contextlib.suppress(ValueError):
            self._database.on_commit.remove(self.wake)
        self.wake()
        if not self._tasks:
            return
        renewing, publishing = self._tasks
        await asyncio.wait({publishing}, timeout=10)
        for task in (renewing, publishing):
            task.cancel()
        await asyncio.wait({renewing, publishing})
        with contextlib.suppress(SQLAlchemyError, OSError):
            await self._leases.release()

    async def wait(self) -> None:
        """Return only when the relay has ended."""
        await asyncio.gather(*self._tasks)

    async def ping(self) -> None:
        """Raise if the broker does not answer."""
        if self._producer is None:
            raise ConnectionError("the broker does not answer")
        await ping(self._producer)

    async def _renew(self) -> None:
        created = False
        measured = -MEASURE_SECONDS
        while True:
            try:
                if not created:
                    await self._leases.create()
                    created = True
                before = self._leases.held.epochs
                if (await self._leases.renew()).epochs != before:
                    self.wake()
                metrics.relay_shards.set(len(self._leases.held.epochs))
                if time.monotonic() - measured >= MEASURE_SECONDS:
                    measured = time.monotonic()
                    await self._measure()
                self._say("leases", "held")
            except (SQLAlchemyError, OSError) as error:
                self._say("leases", "not renewed", repr(error))
            await asyncio.sleep(RENEW_SECONDS)

    async def _measure(self) -> None:
        row = (await self._query(_MEASURE, {}))[0]
        metrics.relay_backlog.set(row.waiting)
        metrics.relay_oldest.set(float(row.oldest))
        metrics.relay_parked.set(row.parked)

    async def _query(self, statement: Any, parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        async with self._database.reading() as connection:
            # One statement is a transaction by itself; BEGIN and ROLLBACK would treble the cost.
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            return (await alone.execute(statement, parameters)).all()

    async def _publish(self) -> None:
        while not self._stopping:
            try:
                async with producing(self._servers) as producer:
                    self._producer = producer
                    self._say("relay", "publishing")
                    await self._publish_with(producer)
            except _AnewError:
                pass
            except _Gone as error:
                metrics.relay_failures.add(1)
                self._say("relay", "waiting", repr(error))
                await self._pause(RETRY_SECONDS)
            finally:
                self._producer = None

    async def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            self._bell.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), left)

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
        found = await self._query(
            _READ,
            {"shards": list(held.epochs), "most": BATCH, "held": self._topics_that_wait()},
        )
        if not found:
            return 0
        rows = await self._writable(producer, found)
        if not held.valid():
            return 0
        for batch in [[row] for row in rows] if self._careful else [rows]:
            await self._send(producer, batch, held.epochs)
        self._careful = False
        return len(found)

    def _topics_that_wait(self) -> list[str]:
        now = time.monotonic()
        return [topic for topic, until in self._held.items() if now < until]

    async def _writable(
        self, producer: AIOKafkaProducer, rows: Sequence[Row[Any]]
    ) -> Sequence[Row[Any]]:
        """The rows whose topic can be written; the others wait."""
        waiting = set()
        for topic in dict.fromkeys(row.topic for row in rows):
            reason = await refusal_of(producer, topic)
            if reason is not None:
                waiting.add(topic)
                self._held[topic] = time.monotonic() + HOLD_SECONDS
                self._say(f"topic {topic}", "waits", reason)
            elif self._held.pop(topic, None) is not None:
                self._say(f"topic {topic}", "written again")
        return [row for row in rows if row.topic not in waiting] if waiting else rows

    async def _send(
        self, producer: AIOKafkaProducer, rows: Sequence[Row[Any]], epochs: dict[int, int]
    ) -> None:
        """Send, delete what was acknowledged; what is refused alone is parked."""
        if not rows:
            return
        errors = await send_all(producer, rows)
        failed = [(row, error) for row, error in zip(rows, errors, strict=True) if error]
        if not failed:
            self._count(rows)
            await self._delete(rows, epochs)
            return
        metrics.relay_failures.add(1)
        if not any(isinstance(error, REFUSED) for _, error in failed):
            raise failed[0][1]
        if len(rows) == 1:
            await self._park(rows[0], failed[0][1], epochs)
        # One by one from here on: whoever is refused then is refused for its own sake.
        self._careful = True
        raise _AnewError

    def _count(self, rows: Sequence[Row[Any]]) -> None:
        now = time.time()
        for row in rows:
            metrics.relay_latency.record(max(0.0, now - row.recorded_at.timestamp()))
        metrics.relay_published.add(len(rows))
        metrics.relay_batch.record(len(rows))

    async def _delete(self, rows: Sequence[Row[Any]], epochs: dict[int, int]) -> None:
        async with self._database.unit_of_work() as uow:
            await uow.execute(
                _DELETE,
                {
                    "positions": [row.position for row in rows],
                    "epochs": [epochs.get(shard, -1) for shard in range(SHARDS)],
                },
            )

    async def _park(self, row: Row[Any], error: BaseException, epochs: dict[int, int]) -> None:
        async with self._database.unit_of_work() as uow:
            await uow.execute(_PARK, {"position": row.position, "epoch": epochs[row.shard]})
        log.error(
            "event_parked",
            position=row.position,
            event_id=str(row.id),
            type=row.type,
            subject=row.aggregateid,
            topic=row.topic,
            bytes=len(row.payload),
            reason=f"{type(error).__name__}: {error}",
        )

    def _say(self, what: str, state: str, trouble: str | None = None) -> None:
        """One line for each change; that all is well at the start is not worth one."""
        before = self._states.get(what)
        if state == before:
            return
        self._states[what] = state
        if trouble is not None:
            log.warning(f"{what} {state}", reason=trouble[:300])
        elif before is not None:
            log.info(f"{what} {state}")
