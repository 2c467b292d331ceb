"""What taking tickets in from the topic costs, against opening them one by one through REST.

    python bench/intake_requests.py [--tickets 4000] [--pairs 8] [--seconds 2]

The consumer is intake's own, with its inbox, spans and metrics, in this process; it is timed from
the first call of the handler to the last one. REST is a process of the role `http`. Both write to
databases of one server. A core is compared with a core: tickets for each second of processor time
of the process, the database's apart.

REST is asked in two ways. On one connection each create is a transaction of its own: that is the
single create that the target speaks of. On 16 those that come while others are written share the
next transaction (docs/decisions/0009), so that batch is compared with batch. Servers come from
KAFKA_BOOTSTRAP_SERVERS and WAYBILL_TEST_POSTGRES_URL, else they are started for the run.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from _taking_in import CONNECTIONS, DESCRIPTION, Window, backends, intake, intake_database, scratch
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from waybill.common.v1.ticket_enums_pb2 import PRIORITY_MEDIUM, TICKET_TYPE_TECHNICAL
from waybill.intake.v1.requests_pb2 import RequestedSubmitter, TicketRequested
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, TraceContext, headers
from waybill_chassis.ids import new_id
from waybill_chassis.process import settle_heap
from waybill_chassis.service import Runtime, runtime
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers
from waybill_intake.consumers import requests
from waybill_intake.consumers.decoding import REQUESTS, decode
from waybill_intake.settings import Settings

PARTITIONS = 6


class Taking:
    """Times the batches of a run."""

    def __init__(self, tickets: int) -> None:
        """`tickets` end it."""
        self._expected = tickets
        self._seen = self._before_last = 0
        self._marks: list[tuple[float, float]] = []
        self.done = asyncio.Event()

    async def handle(self, uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        """What intake does with a batch."""
        self._marks.append((time.perf_counter(), time.process_time()))
        self._before_last = self._seen
        self._seen += len(events)
        await requests.handle(uow, events)
        if self._seen >= self._expected:
            self.done.set()

    def result(self) -> tuple[float, float]:
        """Tickets a second, and seconds of processor time for each, of all but the last batch."""
        (began, cpu_began), (ended, cpu_ended) = self._marks[0], self._marks[-1]
        taken = self._before_last
        return taken / (ended - began), (cpu_ended - cpu_began) / taken


class Bench:
    """Topics full of requests, and a consumer that takes them in."""

    def __init__(self, rt: Runtime[Settings], pool: asyncpg.Pool, tickets: int) -> None:
        """`tickets` stand in each topic; `pool` looks at the consumer's database."""
        self._rt, self._pool, self._tickets = rt, pool, tickets
        self._servers = rt.settings.kafka_bootstrap_servers
        self.topics: list[str] = []

    async def run(self) -> tuple[float, float, float]:
        """Fill a topic, take it in; tickets a second, seconds of ours and of the database's each.

        The topics are none that intake's other processes listen to.
        """
        topic = f"bench.{uuid4().hex}"
        await self._fill(topic)
        taking = Taking(self._tickets)
        consumer = Consumer(
            self._rt.database,
            bootstrap_servers=self._servers,
            group=f"bench-{uuid4().hex}",
            handle=taking.handle,
            types=REQUESTS,
            topics=[topic],
            decode=decode,
        )
        before = await backends(self._pool)
        await consumer.start()
        await taking.done.wait()
        await consumer.stop()
        postgres = (await backends(self._pool)).seconds - before.seconds
        return (*taking.result(), postgres / self._tickets)

    async def _fill(self, topic: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
        await admin.close()
        self.topics.append(topic)
        async with AIOKafkaProducer(bootstrap_servers=self._servers, linger_ms=20) as producer:
            sent = [
                await producer.send(topic, value, key=id.encode(), headers=attributes)
                for id, value, attributes in map(partial(_request, topic), range(self._tickets))
            ]
            await asyncio.gather(*sent)

    async def remove_topics(self) -> None:
        """Leave no topic behind."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        await admin.delete_topics(self.topics)
        await admin.close()


def _request(topic: str, number: int) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    """The same ticket as REST's, of its own person."""
    id = str(new_id())
    body = TicketRequested(
        type=TICKET_TYPE_TECHNICAL,
        title=f"The card {number} has not arrived",
        description=DESCRIPTION,
        priority=PRIORITY_MEDIUM,
        language="en",
        tags=["card", "delivery"],
        order_refs=[f"A-{number}"],
        submitter=RequestedSubmitter(
            email=f"{topic[-8:]}-{number}@example.com", name=f"Person {number}"
        ),
    )
    attributes = headers(
        id=id,
        source="/bench",
        type=TicketRequested.DESCRIPTOR.full_name,
        subject=id,
        time=datetime.now(UTC),
        trace=TraceContext(f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"),
    )
    return id, body.SerializeToString(), attributes


async def main(kafka: str, postgres: str, options: argparse.Namespace) -> None:
    """Run the pairs and print the table."""
    topic: list[tuple[float, float, float]] = []
    single: list[Window] = []
    shared: list[Window] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(scratch()))
        url = await stack.enter_async_context(intake_database(postgres))
        rest_url = await stack.enter_async_context(intake_database(postgres))
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=1))
        telemetry = setup("intake", data_dir=folder, log_level="error")
        stack.push_async_callback(telemetry.stop)
        rt = runtime(Settings(database_url=url, kafka_bootstrap_servers=kafka))
        stack.push_async_callback(rt.database.close)
        bench = Bench(rt, pool, options.tickets)
        stack.push_async_callback(bench.remove_topics)
        settle_heap()  # as every process does once it has started
        if options.profile:
            await bench.run()
            profiler = cProfile.Profile()
            profiler.enable()
            await bench.run()
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(60)
            return
        server = await stack.enter_async_context(intake(rest_url, folder))
        for number in range(options.pairs + 1):
            taken = await bench.run()
            alone = await server.load(options.seconds, connections=1)
            together = await server.load(options.seconds)
            if number:  # the first round warms up
                topic.append(taken)
                single.append(alone)
                shared.append(together)
            print(f"round {number} of {options.pairs}", file=sys.stderr)
    table(topic, single, shared)


def table(
    topic: list[tuple[float, float, float]], single: list[Window], shared: list[Window]
) -> None:
    """Medians, and the medians of the ratios within each round."""
    print(f"{'':<44}{'tickets/s':>10}{'CPU us each':>13}{'PG us each':>12}{'per core':>10}")
    line("from the topic, in batches", *zip(*topic, strict=True))
    ways = {
        "REST, one connection: each create alone": (single, " (target 10)"),
        f"REST, {CONNECTIONS} connections: creates share": (shared, ""),
    }
    for name, (windows, _) in ways.items():
        line(name, *zip(*((one.rate, one.cpu, one.postgres) for one in windows), strict=True))
    for name, (windows, target) in ways.items():
        pairs = list(zip(topic, windows, strict=True))
        core = statistics.median(window.cpu / taken[1] for taken, window in pairs)
        both = statistics.median(
            (window.cpu + window.postgres) / (taken[1] + taken[2]) for taken, window in pairs
        )
        wall = statistics.median(taken[0] / window.rate for taken, window in pairs)
        print(f"the topic against {name}:")
        print(f"  per core {core:.1f} times as many{target}")
        print(f"  {both:.1f} times with the database's time, {wall:.1f} times by the clock")
    print(
        f"medians of {len(topic)} interleaved rounds, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def line(name: str, rates: Sequence[float], cpus: Sequence[float], pgs: Sequence[float]) -> None:
    """One line of the table."""
    rate, cpu, pg = map(statistics.median, (rates, cpus, pgs))
    print(f"{name:<44}{rate:>10,.0f}{cpu * 1e6:>13,.0f}{pg * 1e6:>12,.0f}{1 / cpu:>10,.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--profile", action="store_true", help="profile a run of the consumer")
    chosen = parser.parse_args()
    with servers.broker() as broker, servers.database_server() as address:
        uvloop.run(main(broker, address, chosen))
