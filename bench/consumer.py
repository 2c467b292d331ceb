"""How fast the consumer is, against the bare client below it and one transaction a message.

    python bench/consumer.py [--messages 12000] [--pairs 10]

The rate of a run is taken from the first call of the handler to the last one, so that joining the
group does not count. Servers come from KAFKA_BOOTSTRAP_SERVERS and WAYBILL_TEST_POSTGRES_URL, else
they are started for the run.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from sqlalchemy.engine import make_url
from waybill.intake.v1.events_pb2 import TicketOpened
from waybill.intake.v1.ticket_pb2 import Submitter, Ticket
from waybill_chassis import inbox
from waybill_chassis.clock import SystemClock
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import NO_TRACE, Event, TraceContext, headers
from waybill_chassis.ids import new_id
from waybill_chassis.process import settle_heap
from waybill_chassis.schema import create_chassis_tables
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers

PARTITIONS = 6
BATCH = 500

INSERT = text(
    """
    INSERT INTO effect (ticket_id, title, opened_at)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:titles AS text[]),
                         CAST(:times AS timestamptz[]))
    """
)


class Watch:
    """Times the calls of a handler."""

    def __init__(self, expected: int) -> None:
        """`expected` messages end the run."""
        self.expected = expected
        self.seen = self.before_last = 0
        self.first = self.last = 0.0
        self.cpu_first = self.cpu_last = 0.0
        self.done = asyncio.Event()

    def handles(self, messages: int) -> None:
        """A call of the handler begins."""
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.cpu_last = time.process_time()
        self.cpu_first = self.cpu_first or self.cpu_last
        self.before_last = self.seen
        self.seen += messages
        if self.seen >= self.expected:
            self.done.set()

    def result(self) -> tuple[float, float]:
        """Messages a second, and microseconds of this process's processor time for each."""
        cpu = (self.cpu_last - self.cpu_first) / self.before_last
        return self.before_last / (self.last - self.first), cpu * 1e6


async def insert(uow: UnitOfWork, messages: Sequence[TicketOpened]) -> None:
    """The effect: a row for each message, by one statement."""
    await uow.execute(
        INSERT,
        {
            "ids": [message.ticket.id for message in messages],
            "titles": [message.ticket.title for message in messages],
            "times": [message.ticket.created_at.ToDatetime(UTC) for message in messages],
        },
    )


class Bench:
    """A topic full of tickets, and a database to write them to."""

    def __init__(self, database: Database, kafka: str, topic: str, messages: int) -> None:
        """`messages` stand in the topic."""
        self.database, self.kafka, self.topic, self.messages = database, kafka, topic, messages

    async def batches(self) -> tuple[float, float]:
        """The consumer as every service runs it, telemetry on."""
        watch = Watch(self.messages)

        async def handle(uow: UnitOfWork, events: Sequence[Event[TicketOpened]]) -> None:
            watch.handles(len(events))
            await insert(uow, [event.message for event in events])

        consumer = Consumer(
            self.database,
            bootstrap_servers=self.kafka,
            group=f"bench-{uuid4().hex}",
            handle=handle,
            types=[TicketOpened],
            topics=[self.topic],
            max_batch=BATCH,
        )
        await consumer.start()
        await watch.done.wait()
        await consumer.stop()
        return watch.result()

    async def bare(self) -> tuple[float, float]:
        """`getmany` and the same insert: no inbox, no spans, no metrics, no errors."""
        watch = Watch(self.messages)
        async with self._client() as client:
            while not watch.done.is_set():
                for at, records in await self._poll(client):
                    watch.handles(len(records))
                    messages = [TicketOpened.FromString(record.value) for record in records]
                    async with self.database.unit_of_work() as uow:
                        await insert(uow, messages)
                    await client.commit({at: records[-1].offset + 1})
        return watch.result()

    async def singly(self) -> tuple[float, float]:
        """One transaction a message, inbox in it; acknowledged once a poll."""
        watch = Watch(self.messages // 8)
        async with self._client() as client:
            while not watch.done.is_set():
                for at, records in await self._poll(client):
                    for record in records:
                        if watch.done.is_set():
                            break
                        watch.handles(1)
                        event = event_of(record)
                        async with self.database.unit_of_work() as uow:
                            if await inbox.admit(uow, [event]):
                                await insert(uow, [event.message])
                    await client.commit({at: records[-1].offset + 1})
        return watch.result()

    def _client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self.kafka,
            group_id=f"bench-{uuid4().hex}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )

    async def _poll(self, client: AIOKafkaConsumer) -> list[tuple[TopicPartition, list[Any]]]:
        return list((await client.getmany(timeout_ms=1000, max_records=BATCH)).items())

    async def clean(self) -> None:
        """Empty the tables, outside of the time that is taken."""
        async with self.database.unit_of_work() as uow:
            await uow.execute(text("TRUNCATE inbox, effect"))


def event_of(record: Any) -> Event[TicketOpened]:
    """A record as an event, read no further than the one-by-one contender needs."""
    known = dict(record.headers)
    return Event(
        id=known["ce_id"].decode(),
        source=known["ce_source"].decode(),
        type=known["ce_type"].decode(),
        subject=known["ce_subject"].decode(),
        time=datetime.fromisoformat(known["ce_time"].decode()),
        sequence=int(known["ce_sequence"]),
        message=TicketOpened.FromString(record.value),
        trace=NO_TRACE,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )


async def fill(kafka: str, messages: int) -> str:
    """A topic with so many tickets in it."""
    topic = f"bench.{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()
    now, stamp = datetime.now(UTC), Timestamp()
    stamp.GetCurrentTime()
    async with AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=20) as producer:
        sent = []
        for number in range(messages):
            id = str(new_id())
            message = TicketOpened(
                ticket=Ticket(
                    id=id,
                    number=f"WB-{number}",
                    product="demo",
                    title="The card has not arrived",
                    description="I ordered a new card two weeks ago and it is not here. " * 5,
                    language="en",
                    tags=["card", "delivery"],
                    submitter=Submitter(id=id, email="user@example.com", name="A User"),
                    created_at=stamp,
                    updated_at=stamp,
                )
            )
            attributes = headers(
                id=str(new_id()),
                source="/waybill/intake",
                type=TicketOpened.DESCRIPTOR.full_name,
                subject=id,
                time=now,
                sequence=1,
                trace=TraceContext(f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"),
            )
            value = message.SerializeToString()
            sent.append(await producer.send(topic, value, key=id.encode(), headers=attributes))
        await asyncio.gather(*sent)
    print(f"{messages} tickets of {len(value)} bytes in {PARTITIONS} partitions", file=sys.stderr)
    return topic


async def profile(run: Callable[[], Awaitable[object]]) -> None:
    """Where the time goes in one run."""
    profiler = cProfile.Profile()
    profiler.enable()
    await run()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


async def main(kafka: str, postgres: str, options: argparse.Namespace) -> None:
    """Run the pairs and print the table."""
    database_name = f"bench_{uuid4().hex}"
    import asyncpg

    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {database_name}")
    url = make_url(postgres).set(database=database_name).render_as_string(hide_password=False)
    database = Database(url, service="sla", clock=SystemClock())
    async with database.engine.begin() as connection:
        await connection.run_sync(create_chassis_tables)
        await connection.execute(
            text("CREATE TABLE effect (ticket_id uuid, title text, opened_at timestamptz)")
        )
    folder = tempfile.TemporaryDirectory(prefix="waybill-bench-")
    telemetry = setup("sla", data_dir=Path(folder.name), log_level="error")
    try:
        settle_heap()  # as every process does once it has started
        bench = Bench(database, kafka, await fill(kafka, options.messages), options.messages)
        if options.profile:
            return await profile(bench.batches)
        runs = {"batches": bench.batches, "bare": bench.bare, "singly": bench.singly}
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        names = list(runs)
        for number in range(options.pairs + 1):
            for name in names[number % 3 :] + names[: number % 3]:
                await bench.clean()
                result = await runs[name]()
                if number:  # the first round warms up
                    results[name].append(result)
            print(f"round {number} of {options.pairs}", file=sys.stderr)
        table(results)
    finally:
        await telemetry.stop()
        folder.cleanup()
        await database.close()
        await admin.execute(f"DROP DATABASE {database_name} WITH (FORCE)")
        await admin.close()
    return None


def table(results: dict[str, list[tuple[float, float]]]) -> None:
    """Medians, and medians of the ratios within each round."""

    def ratio(one: str, other: str) -> float:
        pairs = zip(results[one], results[other], strict=True)
        return statistics.median(a / b for (a, _), (b, _) in pairs)

    rows = [
        ("batches: inbox, effect, spans, metrics", "batches", ""),
        (
            "bare getmany and the same insert",
            "bare",
            f"batches reach {ratio('batches', 'bare'):.2f} of it (target 0.50)",
        ),
        (
            "one transaction a message, with inbox",
            "singly",
            f"batches are {ratio('batches', 'singly'):.1f} times that (target 8)",
        ),
    ]
    print(f"{'':<40}{'messages/s':>11}{'lowest':>9}{'highest':>9}{'CPU us each':>13}")
    for label, name, note in rows:
        rates, cpu = zip(*results[name], strict=True)
        middle = f"{statistics.median(rates):>11,.0f}{min(rates):>9,.0f}{max(rates):>9,.0f}"
        print(f"{label:<40}{middle}{statistics.median(cpu):>13,.0f}  {note}")
    load = os.getloadavg()[0]
    print(
        f"medians of {len(results['bare'])} interleaved rounds, {os.cpu_count()} cores,"
        f" load {load:.1f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=12_000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--profile", action="store_true", help="profile one run of the batches")
    chosen = parser.parse_args()
    with servers.broker() as kafka, servers.database_server() as postgres:
        asyncio.run(main(kafka, postgres, chosen))
