"""How late deadlines fire, how fast a storm of them drains, and what arming one costs.

    python bench/sla_timers.py [--full] [--storm 10000]

Four questions: the time from due to committed and to readable on Kafka with 50 thousand live
timers (`--full`: and with a million); how fast a storm due in one instant drains (`--full`:
100,000) against claiming one row at a time with SKIP LOCKED, and how late those are that come due
meanwhile; clocks armed and cancelled a second; and the memory and disk that a live timer takes.
Clocks are filled in by SQL. Servers come from KAFKA_BOOTSTRAP_SERVERS and
WAYBILL_TEST_POSTGRES_URL, else they are started for the run.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.engine import make_url
from waybill_chassis.causes import Origin, automation, request_cause
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database
from waybill_chassis.events import NO_TRACE, events_topic
from waybill_chassis.ids import new_id
from waybill_chassis.migrate import migrate
from waybill_chassis.process import settle_heap
from waybill_chassis.relay import Relay
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers
from waybill_chassis.testing.services import migrations_of
from waybill_sla import usecases
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import Priority, Status
from waybill_sla.timers import Timers

PARTITIONS = 6
TIMERS_A_CLOCK = 8
STREAM_SECONDS = 20
STREAM_PER_SECOND = 50
MEANWHILE_PER_SECOND = 20
ONE_BY_ONE = 400
SWEEP_SECONDS = 150.0
"""How late a sweep of five minutes is on average."""

# One that is at risk already, so that what comes due is the breach and nothing else.
_FILL = """
WITH made AS (
    SELECT gen_random_uuid() AS id, n, CAST($1 AS timestamptz) + n * CAST($2 AS interval)
        AS created_at FROM generate_series(0, $3 - 1) AS n
), clock AS (
    INSERT INTO clocks (ticket_id, number, product, type, priority, status, created_at,
        status_since, episode, episode_since, reopenings, submitter_id, submitter_email, tier,
        intake_sequence, routing_sequence, policy_id, policy_version, state, dated, version,
        updated_at)
    SELECT id, 'WB-' || n, 'demo', 'technical', $4, 'pending', created_at, created_at, 1,
        created_at, 0, 'u-' || n, 'u' || n || '@example.com', '', 1, 1,
        '01900000-0000-7000-8000-000000000001', 1, 'running', 1, 1, created_at FROM made
), segment AS (
    INSERT INTO segments (ticket_id, position, status, started_at, event_id)
    SELECT id, 0, 'pending', created_at, id FROM made
), target AS (
    INSERT INTO targets (ticket_id, kind, state, allowed, due_at, warned_share)
    SELECT id, kind, state, allowed, created_at + allowed, warned FROM made, (VALUES
        ('response', $5, CAST($6 AS interval), CAST($7 AS float8)),
        ('resolution', 'running', CAST($8 AS interval), 0.0)) AS t (kind, state, allowed, warned)
), alarm AS (
    INSERT INTO timers (id, ticket_id, kind, name, share, due_at, stamp, armed_at, traceparent)
    SELECT gen_random_uuid(), id, CASE share WHEN 1 THEN 'due' ELSE 'warning' END, kind, share,
        created_at + allowed * share, 1, created_at,
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    FROM made, (VALUES ('response', CAST($6 AS interval), CAST($7 AS float8)),
            ('resolution', CAST($8 AS interval), 0.0)) AS t (kind, allowed, warned),
        unnest(ARRAY[0.5, 0.75, 0.9, 1.0]::float8[]) AS share
    WHERE share > warned
)
SELECT id, created_at + CAST($6 AS interval) AS due_at FROM made
"""

HIGH, DAY, LOW, WEEK = timedelta(hours=2), timedelta(days=1), timedelta(days=3), timedelta(days=7)


async def live(admin: Any, timers: int) -> None:
    """So many timers that come due in some days."""
    began = datetime.now(UTC)
    for _ in range(0, timers, 100_000):
        clocks = min(timers, 100_000) // TIMERS_A_CLOCK
        step = timedelta(seconds=3600 / clocks)
        await admin.fetch(_FILL, began, step, clocks, "low", "running", LOW, 0.0, WEEK)
    await admin.execute("VACUUM ANALYZE")


async def due(admin: Any, first: datetime, step: timedelta, count: int) -> dict[str, datetime]:
    """Tickets whose response comes due from `first` on, one each `step`."""
    rows = await admin.fetch(_FILL, first - HIGH, step, count, "high", "at_risk", HIGH, 0.9, DAY)
    return {str(row["id"]): row["due_at"] for row in rows}


class Watched(Timers):
    """Notes when each ticket's breach was committed, and how many have fired."""

    def __init__(self, database: Database, **options: Any) -> None:
        """As timers."""
        super().__init__(database, **options)
        self.committed: dict[str, datetime] = {}
        self.progress = asyncio.Event()

    def _count(self, fired: usecases.Fired) -> None:
        now = datetime.now(UTC)
        for effect in fired.effects:
            self.committed[str(effect.ticket_id)] = now
        self.progress.set()
        super()._count(fired)

    async def until(self, tickets: Sequence[str]) -> None:
        """Wait until all of these have fired."""
        left = set(tickets)
        while left := left - self.committed.keys():
            self.progress.clear()
            await self.progress.wait()


@dataclass(slots=True)
class Reader:
    """Reads sla's topic and notes when each breach could be read, and under which ids."""

    topic: str
    kafka: str
    read: dict[str, datetime] = field(default_factory=dict)
    ids: dict[str, set[bytes]] = field(default_factory=dict)

    async def run(self) -> None:
        """Read for ever."""
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            consumer.assign([TopicPartition(self.topic, number) for number in range(PARTITIONS)])
            await consumer.seek_to_beginning()
            async for message in consumer:
                headers = dict(message.headers)
                if headers["ce_type"].endswith(b".TargetBreached"):
                    ticket = message.key.decode()
                    self.read.setdefault(ticket, datetime.now(UTC))
                    self.ids.setdefault(ticket, set()).add(headers["ce_id"])

    async def until(self, tickets: Sequence[str]) -> None:
        """Wait until the breaches of all of these could be read."""
        while not self.read.keys() >= set(tickets):
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class Bench:
    """An sla of its own: database, timers, relay, and a reader of what it tells."""

    database: Database
    admin: Any
    timers: Watched
    reader: Reader


@asynccontextmanager
async def running(kafka: str, postgres: str) -> AsyncIterator[Bench]:
    """A migrated database, whose timers and relay run in this process; dropped at the end."""
    name = f"bench_{uuid4().hex}"
    root = await asyncpg.connect(postgres)
    await root.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    await migrate(url, migrations_of("sla"))
    # A service of its own name has a topic of its own.
    database = Database(url, service=name.replace("_", "-"), clock=SystemClock())
    topic = events_topic(database.service)
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    await client.create_topics([NewTopic(topic, PARTITIONS, 1)])
    admin = await asyncpg.connect(url)
    timers, relay = Watched(database), Relay(database, bootstrap_servers=kafka)
    reader = Reader(topic, kafka)
    reading = asyncio.create_task(reader.run())
    try:
        await timers.start()
        await relay.start()
        yield Bench(database, admin, timers, reader)
    finally:
        await timers.stop()
        await relay.stop()
        reading.cancel()
        await asyncio.wait({reading})
        await admin.close()
        await database.close()
        await root.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await root.close()
        await client.delete_topics([topic])
        await client.close()


def seconds(when: dict[str, datetime], since: dict[str, datetime]) -> list[float]:
    """How long after its time each was there."""
    return [(when[id] - moment).total_seconds() for id, moment in since.items()]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


async def lateness(bench: Bench) -> tuple[list[float], list[float]]:
    """Seconds from due to committed, and to readable, of a steady stream."""
    first = datetime.now(UTC) + timedelta(seconds=2)
    step = timedelta(seconds=1 / STREAM_PER_SECOND)
    tickets = await due(bench.admin, first, step, STREAM_SECONDS * STREAM_PER_SECOND)
    await bench.timers.until(list(tickets))
    await bench.reader.until(list(tickets))
    return seconds(bench.timers.committed, tickets), seconds(bench.reader.read, tickets)


@dataclass(slots=True)
class Storm:
    """What became of a storm."""

    rate: float
    took: float
    meanwhile: list[float]
    plain: float
    once: bool


async def storm(bench: Bench, count: int) -> Storm:
    """So many due in one instant, and a few a second in the time that they take."""
    plain = await one_by_one(bench)
    await bench.admin.execute("VACUUM ANALYZE")
    # None is due before all are there.
    instant = datetime.now(UTC) + timedelta(seconds=3 + count / 8000)
    tickets = await due(bench.admin, instant, timedelta(0), count)
    step = timedelta(seconds=1 / MEANWHILE_PER_SECOND)
    others = await due(bench.admin, instant + step, step, max(40, count // 100))
    assert datetime.now(UTC) < instant, "filling in took too long"
    await bench.timers.until(list(tickets))
    over = max(bench.timers.committed[id] for id in tickets)
    took = (over - instant).total_seconds()
    meanwhile = {id: moment for id, moment in others.items() if moment < over}
    await bench.timers.until(list(others))
    everyone = [*tickets, *others]
    await bench.reader.until(everyone)
    rows = await bench.admin.fetch(
        "SELECT ticket_id, breach_event_id FROM targets"
        " WHERE kind = 'response' AND breach_event_id IS NOT NULL"
    )
    told = {str(row["ticket_id"]): {str(row["breach_event_id"]).encode()} for row in rows}
    once = all(bench.reader.ids[id] == told[id] for id in everyone)
    return Storm(count / took, took, seconds(bench.timers.committed, meanwhile), plain, once)


async def one_by_one(bench: Bench) -> float:
    """Timers a second when each is claimed alone."""
    await bench.timers.stop()
    tickets = await due(bench.admin, datetime.now(UTC), timedelta(0), ONE_BY_ONE)
    plain = Watched(bench.database, batch=1)
    await plain.start()
    began = time.perf_counter()
    await plain.until(list(tickets))
    rate = ONE_BY_ONE / (time.perf_counter() - began)
    await plain.stop()
    await bench.timers.start()
    return rate


async def arming(bench: Bench, batch: int = 500, batches: int = 10) -> tuple[float, float]:
    """Timers a second that openings arm and closings cancel, as a consumer's batches do it."""
    armed, cancelled = 0.0, 0.0
    for _ in range(batches):
        now = datetime.now(UTC)
        tickets = [_ticket(now, number) for number in range(batch)]
        armed += await _heard(bench.database, tickets)
        closed = [_closed(ticket, now) for ticket in tickets]
        cancelled += await _heard(bench.database, closed)
    timers = batch * batches * TIMERS_A_CLOCK
    return timers / armed, timers / cancelled


async def _heard(database: Database, tickets: Sequence[Ticket]) -> float:
    began = time.perf_counter()
    async with database.unit_of_work() as uow:
        await usecases.hear(
            uow,
            [
                usecases.News(
                    ticket.id,
                    ticket,
                    ticket.status_since,
                    Origin(automation("bench"), request_cause("bench"), NO_TRACE),
                )
                for ticket in tickets
            ],
        )
    return time.perf_counter() - began


def _ticket(now: datetime, number: int) -> Ticket:
    return Ticket(
        id=new_id(),
        number=f"WB-{number}",
        product="demo",
        type="technical",
        priority=Priority.LOW,
        status=Status.PENDING,
        created_at=now,
        status_since=now,
        episode=1,
        episode_since=now,
        first_response_at=None,
        resolved_at=None,
        reopened_at=None,
        reopenings=0,
        submitter_id=f"u-{number}",
        submitter_email="u@example.com",
        tier="",
        sequence=1,
    )


def _closed(ticket: Ticket, now: datetime) -> Ticket:
    return replace(
        ticket,
        status=Status.CLOSED,
        status_since=now + timedelta(seconds=1),
        first_response_at=now,
        resolved_at=now,
        sequence=2,
    )


async def disk(admin: Any) -> float:
    """Bytes a live timer takes in the database, with its indexes."""
    return float(
        await admin.fetchval(
            "SELECT pg_total_relation_size('timers') / (SELECT count(*) FROM timers)::float8"
        )
    )


def memory() -> float:
    """Bytes that this process holds."""
    return float(psutil.Process().memory_info().rss)


async def main(kafka: str, postgres: str, full: bool, storm_size: int) -> None:
    """Run all and print the tables."""
    telemetry = setup("sla", data_dir=Path(tempfile.mkdtemp()), log_level="error")
    settle_heap()
    print(f"{'live timers':<12}{'to':<11}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'sweep/p50':>11}")
    found = {}
    for size in [50_000, 1_000_000] if full else [50_000]:
        async with running(kafka, postgres) as bench:
            began = memory()
            await live(bench.admin, size)
            committed, readable = await lateness(bench)
            held = (memory() - began) / size
            for name, values in (("committed", committed), ("readable", readable)):
                found[size, name] = values
                middle = statistics.median(values)
                print(
                    f"{size:<12,}{name:<11}{middle * 1e3:>9.1f}{p99(values) * 1e3:>9.1f}"
                    f"{max(values) * 1e3:>9.1f}{SWEEP_SECONDS / middle:>11,.0f}"
                )
            print(f"  {await disk(bench.admin):,.0f} bytes on disk a timer, {held:,.0f} in memory")
    if full:
        for name in ("committed", "readable"):
            ratio = p99(found[1_000_000, name]) / p99(found[50_000, name])
            print(f"p99 {name}, a million to 50 thousand: {ratio:.2f} (at most 1.5)")
    async with running(kafka, postgres) as bench:
        seen = await storm(bench, 100_000 if full else storm_size)
        print(f"storm: {seen.rate:,.0f}/s in {seen.took:.1f} s, exactly once: {seen.once}")
        print(
            f"  one at a time {seen.plain:,.0f}/s, ratio {seen.rate / seen.plain:.1f} (at least 10)"
        )
        share = p99(seen.meanwhile) / seen.took
        print(
            f"  due meanwhile: {len(seen.meanwhile)}, p99 {p99(seen.meanwhile):.2f} s,"
            f" {share:.1%} of the drain (at most 5 %)"
        )
    async with running(kafka, postgres) as bench:
        armed, cancelled = await arming(bench)
        print(f"armed {armed:,.0f} timers/s, cancelled {cancelled:,.0f}/s; {os.cpu_count()} cores")
    await telemetry.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="a million timers, a storm of 100,000")
    parser.add_argument("--storm", type=int, default=10_000)
    chosen = parser.parse_args()
    with servers.broker() as kafka, servers.database_server() as postgres:
        uvloop.run(main(kafka, postgres, chosen.full, chosen.storm))
