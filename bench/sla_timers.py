"""How late deadlines fire, how fast a storm of them drains, and what arming one costs.

    python bench/sla_timers.py [--full] [--storm 10000]

Five questions: the time from due to committed and to readable on Kafka with 50 thousand live
timers (`--full`: and with a million); the same with timers that wait for what a consumer has yet to
hear; how fast a storm due in one instant drains (`--full`: 100,000) against claiming one row at a
time with SKIP LOCKED, and how late those are that come due meanwhile; clocks armed and cancelled a
second; and the memory and disk that a live timer takes.
Clocks are filled in by SQL. Servers come from KAFKA_BOOTSTRAP_SERVERS and
WAYBILL_TEST_POSTGRES_URL, else they are started for the run.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import uvloop
from _sla_stage import TIMERS_A_CLOCK, Bench, Watched, due, live, running
from waybill_chassis.causes import Origin, automation, request_cause
from waybill_chassis.database import Database
from waybill_chassis.events import NO_TRACE
from waybill_chassis.ids import new_id
from waybill_chassis.process import settle_heap
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers
from waybill_sla import usecases
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import Priority, Status

STREAM_SECONDS = 20
STREAM_PER_SECOND = 50
HEARD_PER_SECOND = (0, 20, 200)
"""Events that the consumer hears while timers wait for it."""
MEANWHILE_PER_SECOND = 20
ONE_BY_ONE = 400
SWEEP_SECONDS = 150.0
"""How late a sweep of five minutes is on average."""


def seconds(when: dict[str, datetime], since: dict[str, datetime]) -> list[float]:
    """How long after its time each was there."""
    return [(when[id] - moment).total_seconds() for id, moment in since.items()]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


async def lateness(bench: Bench, heard: int = 0) -> tuple[list[float], list[float]]:
    """Seconds from due to committed, and to readable, of a steady stream.

    Meanwhile the consumer hears so many events a second.
    """
    telling = asyncio.create_task(bench.told(heard))
    first = datetime.now(UTC) + timedelta(seconds=2)
    step = timedelta(seconds=1 / STREAM_PER_SECOND)
    tickets = await due(bench.admin, first, step, STREAM_SECONDS * STREAM_PER_SECOND)
    await bench.timers.until(list(tickets))
    await bench.reader.until(list(tickets))
    telling.cancel()
    await asyncio.wait({telling})
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
    """So many due at the instant at which timers begin, and a few a second while they drain."""
    plain = await one_by_one(bench)
    await bench.timers.stop()
    tickets = await due(bench.admin, datetime.now(UTC), timedelta(0), count)
    await bench.admin.execute("VACUUM ANALYZE")
    instant = datetime.now(UTC) + timedelta(seconds=10 + count / 20_000)
    step = timedelta(seconds=1 / MEANWHILE_PER_SECOND)
    others = await due(bench.admin, instant + step, step, max(40, count // 50))
    await asyncio.sleep((instant - datetime.now(UTC)).total_seconds())
    instant = datetime.now(UTC)
    await bench.timers.start()
    await bench.timers.until(list(tickets))
    over = max(bench.timers.committed[id] for id in tickets)
    took = (over - instant).total_seconds()
    meanwhile = {id: moment for id, moment in others.items() if instant < moment < over}
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


NAMES = ("committed", "readable")


def show(what: str, *measured: Sequence[float]) -> None:
    """A line each for due to committed, and to readable."""
    for name, values in zip(NAMES, measured, strict=True):
        middle = statistics.median(values)
        print(
            f"{what:<16}{name:<11}{middle * 1e3:>9.1f}{p99(values) * 1e3:>9.1f}"
            f"{max(values) * 1e3:>9.1f}{SWEEP_SECONDS / middle:>11,.0f}",
            flush=True,
        )


async def main(kafka: str, postgres: str, full: bool, storm_size: int) -> None:
    """Run all and print the tables."""
    telemetry = setup("sla", data_dir=Path(tempfile.mkdtemp()), log_level="error")
    settle_heap()
    print(f"{'live timers':<16}{'to':<11}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'sweep/p50':>11}")
    found = {}
    for size in [50_000, 1_000_000] if full else [50_000]:
        async with running(kafka, postgres) as bench:
            began = memory()
            await live(bench.admin, size)
            found[size] = await lateness(bench)
            show(f"{size:,}", *found[size])
            print(
                f"  {await disk(bench.admin):,.0f} bytes on disk a timer;"
                f" the process grew by {(memory() - began) / 1e6:.1f} MB"
            )
    if full:
        for name, many, few in zip(NAMES, found[1_000_000], found[50_000], strict=True):
            print(f"p99 {name}, a million to 50 thousand: {p99(many) / p99(few):.2f} (at most 1.5)")
    for heard in HEARD_PER_SECOND:
        async with running(kafka, postgres, hears=True) as bench:
            await live(bench.admin, 50_000)
            show(f"hears {heard}/s", *await lateness(bench, heard))
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
