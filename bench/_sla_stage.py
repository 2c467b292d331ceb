"""What the benches of sla's timers run on: a database of its own, filled by SQL, and its parts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.engine import make_url
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1 import events_pb2 as intake
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill_chassis.clock import SystemClock
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database
from waybill_chassis.events import events_topic
from waybill_chassis.ids import new_id
from waybill_chassis.migrate import migrate
from waybill_chassis.progress import StreamProgress
from waybill_chassis.relay import Relay
from waybill_chassis.testing.producing import event_of, producing
from waybill_chassis.testing.services import migrations_of
from waybill_sla import consumers, usecases
from waybill_sla.timers import Timers

PARTITIONS = 6
TIMERS_A_CLOCK = 8
HIGH, DAY, LOW, WEEK = timedelta(hours=2), timedelta(days=1), timedelta(days=3), timedelta(days=7)
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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.progress.wait(), 5)
            if self._task is not None and self._task.done():
                self._task.result()


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

    kafka: str
    database: Database
    admin: Any
    timers: Watched
    reader: Reader
    heard: str
    """The topic that its consumer hears, if it has one."""

    async def told(self, per_second: int) -> None:
        """Tell its consumer of new tickets, for ever."""
        async with producing(self.kafka) as producer:
            while per_second:
                for _ in range(max(per_second // 20, 1)):
                    message, ticket_id = opened()
                    value, headers = event_of(
                        message, subject=ticket_id, source="/waybill/intake", sequence=1
                    )
                    key = ticket_id.encode()
                    await producer.send(self.heard, value=value, key=key, headers=headers)
                await asyncio.sleep(max(per_second // 20, 1) / per_second)


@asynccontextmanager
async def running(kafka: str, postgres: str, *, hears: bool = False) -> AsyncIterator[Bench]:
    """A migrated database, whose timers and relay run in this process; dropped at the end.

    One that `hears` has a consumer too, and its timers wait for what stands in the stream.
    """
    name = f"bench_{uuid4().hex}"
    root = await asyncpg.connect(postgres)
    await root.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    await migrate(url, migrations_of("sla"))
    # A service of its own name has a topic of its own.
    database = Database(url, service=name.replace("_", "-"), clock=SystemClock())
    topics = [events_topic(database.service), events_topic(f"{database.service}-heard")]
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await client.start()
    await client.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
    admin = await asyncpg.connect(url)
    # Filling in is not what is measured: foreign keys are not looked at.
    await admin.execute("SET session_replication_role = replica")
    progress = StreamProgress(kafka, topics[1], name) if hears else None
    timers, relay = Watched(database, progress=progress), Relay(database, bootstrap_servers=kafka)
    consumer = Consumer(
        database,
        bootstrap_servers=kafka,
        group=name,
        handle=consumers.handle,
        types=consumers.HEARD,
        topics=[topics[1]],
    )
    parts = [*([progress, consumer] if progress else []), timers, relay]
    reader = Reader(topics[0], kafka)
    reading = asyncio.create_task(reader.run())
    try:
        for part in parts:
            await part.start()
        yield Bench(kafka, database, admin, timers, reader, topics[1])
    finally:
        for part in reversed(parts):
            await part.stop()
        reading.cancel()
        await asyncio.wait({reading})
        await admin.close()
        await database.close()
        await root.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await root.close()
        await client.delete_topics(topics)
        await client.close()


def opened() -> tuple[intake.TicketOpened, str]:
    """What intake tells of a new ticket, and the ticket's id."""
    ticket = Ticket(
        id=str(new_id()),
        number="WB-1",
        product="demo",
        type=words.TICKET_TYPE_TECHNICAL,
        priority=words.PRIORITY_LOW,
        status=words.STATUS_PENDING,
        episode=1,
    )
    ticket.submitter.id = ticket.id
    for moment in (ticket.created_at, ticket.status_since, ticket.episode_since):
        moment.FromDatetime(datetime.now(UTC))
    return intake.TicketOpened(ticket=ticket), ticket.id
