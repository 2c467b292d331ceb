"""How fast the relay is, how late it is at light load, and what it costs when there is no work.

    python bench/relay.py [--events 10000] [--pairs 10]

Three questions: events a second against a relay that publishes and deletes row by row; the time
from a commit to Kafka's acknowledgement against a direct produce with acks=all, at 50 events a
second; and the statements a second that an idle relay sends. Servers come from
KAFKA_BOOTSTRAP_SERVERS and WAYBILL_TEST_POSTGRES_URL, else they are started for the run.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database
from waybill_chassis.events import headers
from waybill_chassis.outbox import shard_of
from waybill_chassis.relay import Relay
from waybill_chassis.schema import create_chassis_tables
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers

AGGREGATES = 200
LIGHT_PER_SECOND = 50
LIGHT_EVENTS = 100
ROW_BY_ROW_EVENTS = 300
IDLE_SECONDS = 10
PAYLOAD = StringValue(value="The card has not arrived. " * 22).SerializeToString()

_FILL = text(
    """
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, shard, topic, key, source,
                        sequence, occurred_at, content_type, traceparent)
    SELECT gen_random_uuid(), 'ticket', 'ticket-' || n % :aggregates, 'waybill.bench', :payload,
           (CAST(:shards AS smallint[]))[n % :aggregates + 1], :topic, 'ticket-' || n % :aggregates,
           '/waybill/bench', n / :aggregates + 1, now(), 'application/protobuf',
           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    FROM generate_series(0, :events - 1) AS n
    """
)


class TimedRelay(Relay):
    """Notes when each event was acknowledged."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As a relay."""
        super().__init__(*arguments, **named)
        self.acknowledged: dict[UUID, float] = {}
        self.published = 0
        self._progress = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it has got so far."""
        while not reached():
            self._progress.clear()
            await self._progress.wait()

    def _count(self, rows: Sequence[Any]) -> None:
        now = time.perf_counter()
        self.acknowledged.update((row.id, now) for row in rows)
        self.published += len(rows)
        self._progress.set()
        super()._count(rows)


async def fill(database: Database, topic: str, events: int) -> None:
    """So many committed events."""
    async with database.unit_of_work() as uow:
        await uow.execute(
            _FILL,
            {
                "events": events,
                "aggregates": AGGREGATES,
                "payload": PAYLOAD,
                "topic": topic,
                "shards": [shard_of(f"ticket-{number}") for number in range(AGGREGATES)],
            },
        )


async def batches(database: Database, relay: TimedRelay, topic: str, events: int) -> float:
    """Events a second of the relay as every service runs it."""
    expected = relay.published + events
    await fill(database, topic, events)
    began = time.perf_counter()
    relay.wake()
    await relay.until(lambda: relay.published >= expected)
    return events / (time.perf_counter() - began)


async def row_by_row(database: Database, producer: AIOKafkaProducer, topic: str) -> float:
    """Events a second of the plain way: read one, publish it, delete it, commit."""
    await fill(database, topic, ROW_BY_ROW_EVENTS)
    began = time.perf_counter()
    for _ in range(ROW_BY_ROW_EVENTS):
        async with database.unit_of_work() as uow:
            found = await uow.execute(
                text("SELECT * FROM outbox ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED")
            )
            row = found.one()
            await producer.send_and_wait(
                row.topic,
                row.payload,
                key=row.key.encode(),
                headers=headers(
                    id=str(row.id),
                    source=row.source,
                    type=row.type,
                    subject=row.aggregateid,
                    time=row.occurred_at,
                    sequence=row.sequence,
                ),
            )
            await uow.execute(
                text("DELETE FROM outbox WHERE position = :position"), {"position": row.position}
            )
    return ROW_BY_ROW_EVENTS / (time.perf_counter() - began)


async def light_commits(database: Database, relay: TimedRelay, topic: str) -> list[float]:
    """Seconds from a commit to the acknowledgement, at a light and steady rate."""
    committed: dict[UUID, float] = {}
    for number in range(LIGHT_EVENTS):
        await asyncio.sleep(1 / LIGHT_PER_SECOND)
        async with database.unit_of_work() as uow:
            id = uow.emit(StringValue(value="x" * 570), subject=f"t-{number % 20}", topic=topic)
        committed[id] = time.perf_counter()
    await relay.until(lambda: committed.keys() <= relay.acknowledged.keys())
    return [max(0.0, relay.acknowledged[id] - at) for id, at in committed.items()]


async def light_produces(producer: AIOKafkaProducer, topic: str) -> list[float]:
    """Seconds of a direct produce, at the same rate."""
    taken = []
    for number in range(LIGHT_EVENTS):
        await asyncio.sleep(1 / LIGHT_PER_SECOND)
        began = time.perf_counter()
        await producer.send_and_wait(topic, PAYLOAD, key=f"t-{number % 20}".encode())
        taken.append(time.perf_counter() - began)
    return taken


async def idle(database: Database, admin: Any) -> dict[str, float]:
    """Statements and transactions a second of a relay that has nothing to do."""
    counted = 0

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    def count_bounds(*_: Any) -> None:
        nonlocal counted
        counted += 2  # BEGIN and COMMIT; what runs by itself has neither

    async def transactions(settle: float) -> int:
        await asyncio.sleep(settle)
        return int(
            await admin.fetchval(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1",
                make_url(database.url).database,
            )
        )

    engine = database.engine.sync_engine
    # Connections that rest tell what they have done only after ten seconds.
    before, began = await transactions(12), time.perf_counter()
    event.listen(engine, "before_cursor_execute", count)
    event.listen(engine, "commit", count_bounds)
    await asyncio.sleep(IDLE_SECONDS)
    event.remove(engine, "before_cursor_execute", count)
    event.remove(engine, "commit", count_bounds)
    statements = counted / IDLE_SECONDS
    after = await transactions(1.5)
    return {
        "statements": statements,
        "transactions": (after - before) / (time.perf_counter() - began),
    }


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


@asynccontextmanager
async def new_database(admin: Any, postgres: str) -> AsyncIterator[Database]:
    """A database with the chassis' tables, dropped at the end."""
    name = f"bench_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    database = Database(url, service="intake", clock=SystemClock())
    async with database.engine.begin() as connection:
        await connection.run_sync(create_chassis_tables)
    try:
        yield database
    finally:
        await database.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def main(kafka: str, postgres: str, events: int, pairs: int) -> bool:
    """Run the pairs and print the table; whether all targets are met."""
    telemetry = setup("intake", data_dir=Path(tempfile.mkdtemp()), log_level="error")
    topic = f"bench.{uuid4().hex}"
    kafka_admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await kafka_admin.start()
    await kafka_admin.create_topics([NewTopic(topic, 6, 1)])
    await kafka_admin.close()
    admin = await asyncpg.connect(postgres)
    found: dict[str, list[float]] = {name: [] for name in ("fast", "plain", "commit", "direct")}
    try:
        async with (
            new_database(admin, postgres) as ours,
            new_database(admin, postgres) as theirs,
            AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0) as producer,
        ):
            relay = TimedRelay(ours, bootstrap_servers=kafka)
            await relay.start()
            await batches(ours, relay, topic, 1000)
            await row_by_row(theirs, producer, topic)
            for number in range(pairs):
                found["fast"].append(await batches(ours, relay, topic, events))
                found["plain"].append(await row_by_row(theirs, producer, topic))
                found["commit"].append(p99(await light_commits(ours, relay, topic)))
                found["direct"].append(p99(await light_produces(producer, topic)))
                print(f"pair {number + 1} of {pairs}", file=sys.stderr)
            quiet = await idle(ours, admin)
            await relay.stop()
    finally:
        await admin.close()
        await telemetry.stop()
    return table(found, quiet)


def table(found: dict[str, list[float]], quiet: dict[str, float]) -> bool:
    """Medians, and medians of the ratios within each pair."""

    def ratio(one: str, other: str) -> float:
        both = zip(found[one], found[other], strict=True)
        return statistics.median(a / b for a, b in both)

    median = {name: statistics.median(values) for name, values in found.items()}
    speed, delay = ratio("fast", "plain"), ratio("commit", "direct")
    print(f"{'relay':<52}{'measured':>12}{'target':>14}")
    print(f"{'events/s in batches':<52}{median['fast']:>12,.0f}")
    print(f"{'events/s row by row':<52}{median['plain']:>12,.0f}")
    print(f"{'  ratio':<52}{speed:>12.1f}{'at least 10':>14}")
    print(f"{'p99 from commit to acknowledgement, 50/s, ms':<52}{median['commit'] * 1e3:>12.2f}")
    print(f"{'p99 of a direct produce, acks=all, 50/s, ms':<52}{median['direct'] * 1e3:>12.2f}")
    print(f"{'  ratio':<52}{delay:>12.1f}{'at most 3':>14}")
    print(f"{'statements/s when idle':<52}{quiet['statements']:>12.1f}{'at most 10':>14}")
    print(f"{'transactions/s when idle (pg_stat_database)':<52}{quiet['transactions']:>12.1f}")
    print(f"medians of {len(found['fast'])} interleaved pairs, {os.cpu_count()} cores")
    return speed >= 10 and delay <= 3 and quiet["statements"] <= 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=10)
    chosen = parser.parse_args()
    with servers.broker() as kafka, servers.database_server() as postgres:
        reached = uvloop.run(main(kafka, postgres, chosen.events, chosen.pairs))
    raise SystemExit(0 if reached else 1)
