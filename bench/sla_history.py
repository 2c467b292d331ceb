"""What an event costs sla by how many events its ticket has had.

    python bench/sla_history.py [--sizes 10,100,1000,10000] [--rounds 10]

The real use case on the real PostgreSQL. One ticket of each length lives through its events, moves
and messages in turns, so that its ledger has a line for every second of them. Then each hears four
more in each round, in turns with the others, each in a transaction of its own. Printed are, for an
event: pages and rows that the database touched, bytes of WAL, calls and lines of Python code of
ours (by `sys.settrace`, in rounds of their own: a processor's instructions cannot be read
everywhere); and their ratios to the shortest history. A server comes from
WAYBILL_TEST_POSTGRES_URL, else it is started for the run.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from sqlalchemy import text
from sqlalchemy.engine import make_url
from waybill_chassis.causes import Origin, automation, request_cause
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_chassis.events import NO_TRACE
from waybill_chassis.ids import new_id
from waybill_chassis.migrate import migrate
from waybill_chassis.telemetry.setup import setup
from waybill_chassis.testing import servers
from waybill_chassis.testing.services import migrations_of
from waybill_sla import usecases
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import Priority, Status

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Told:
    """A ticket and its next event."""

    ticket: Ticket
    at: datetime
    number: int = 0

    def next(self) -> Ticket:
        """What it tells next: it is asked, answered, and a word is said in each state."""
        self.number += 1
        self.at += MINUTE
        ticket = replace(self.ticket, sequence=self.ticket.sequence + 1)
        if self.number % 2:
            by = "agent" if self.number % 4 == 1 else "submitter"
            ticket = replace(ticket, last_public_at=self.at, last_public_by=by)
        else:
            asked = ticket.status is Status.IN_PROGRESS
            ticket = replace(
                ticket,
                status=Status.AWAITING_USER if asked else Status.IN_PROGRESS,
                status_since=self.at,
                episode=ticket.episode + 1,
                episode_since=self.at,
            )
        self.ticket = ticket
        return ticket


def opened(number: int) -> Ticket:
    """A ticket that somebody has answered."""
    return Ticket(
        id=new_id(),
        number=f"WB-{number}",
        product="demo",
        type="technical",
        priority=Priority.LOW,
        status=Status.IN_PROGRESS,
        created_at=START,
        status_since=START,
        episode=1,
        episode_since=START,
        first_response_at=START,
        resolved_at=None,
        reopened_at=None,
        reopenings=0,
        submitter_id=f"u-{number}",
        submitter_email="u@example.com",
        tier="",
        sequence=1,
    )


async def hear(database: Database, told: Sequence[tuple[Ticket, datetime]]) -> None:
    """As the consumer does with a batch."""
    origin = Origin(automation("bench"), request_cause("bench"), NO_TRACE)
    async with database.unit_of_work() as uow:
        await usecases.hear(
            uow, [usecases.News(ticket.id, ticket, at, origin) for ticket, at in told]
        )


@dataclass(slots=True)
class Bench:
    """A database of its own: one connection that works and one that counts."""

    database: Database
    clock: ManualClock
    admin: Any


async def lived(bench: Bench, size: int) -> Told:
    """A ticket that has had so many events, heard some at a time."""
    told = Told(opened(size), START)
    batch = [(told.ticket, told.at)]
    for _ in range(size - 1):
        batch.append((told.next(), told.at))
        if len(batch) == 50:
            bench.clock.set(told.at)
            await hear(bench.database, batch)
            batch = []
    if batch:
        bench.clock.set(told.at)
        await hear(bench.database, batch)
    return told


_COUNTERS = """
SELECT (SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0)
            + coalesce(toast_blks_hit + toast_blks_read, 0))
        FROM pg_statio_user_tables)::bigint,
    (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables)::bigint
"""
_WAL = text("SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())")
_FLUSH = text("SELECT pg_stat_force_next_flush()")


async def counters(bench: Bench) -> list[int]:
    """Pages and rows touched, and bytes of WAL written by the one that works, so far."""
    async with bench.database.reading() as connection:
        await connection.execute(_FLUSH)
    async with bench.database.reading() as connection:
        wal = (await connection.execute(_WAL)).scalar_one()
    return [int(value) for value in (*await bench.admin.fetchrow(_COUNTERS), wal)]


@dataclass(slots=True)
class Traced:
    """Counts calls and lines of our code while it is on."""

    calls: int = 0
    lines: int = 0

    def __enter__(self) -> "Traced":
        """On."""
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        """Off."""
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "call" and "waybill_" not in frame.f_code.co_filename:
            return None
        self.calls += event == "call"
        self.lines += event == "line"
        return self._trace


@asynccontextmanager
async def running(postgres: str) -> AsyncIterator[Bench]:
    """Migrated; dropped at the end."""
    name = f"bench_{uuid4().hex}"
    root = await asyncpg.connect(postgres)
    await root.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    await migrate(url, migrations_of("sla"))
    clock = ManualClock()
    database = Database(url, service="sla", clock=clock, pool_size=1)
    admin = await asyncpg.connect(url)
    try:
        yield Bench(database, clock, admin)
    finally:
        await admin.close()
        await database.close()
        await root.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await root.close()


async def four_more(bench: Bench, told: Told) -> None:
    """A move, a question, a move, an answer: each alone."""
    for _ in range(4):
        ticket = told.next()
        bench.clock.set(told.at)
        await hear(bench.database, [(ticket, told.at)])


async def main(postgres: str, sizes: Sequence[int], rounds: int) -> None:
    """Run all and print the table."""
    telemetry = setup("sla", data_dir=Path(tempfile.mkdtemp()), log_level="error")
    names = ("pages", "rows", "wal", "calls", "lines")
    costs: dict[int, list[list[float]]] = {size: [] for size in sizes}
    async with running(postgres) as bench:
        tickets = {size: await lived(bench, size) for size in sizes}
        await bench.admin.execute("VACUUM ANALYZE")
        await bench.admin.execute("CHECKPOINT")
        for told in tickets.values():
            await four_more(bench, told)
        for _ in range(rounds):
            for size, told in tickets.items():
                before = await counters(bench)
                await four_more(bench, told)
                after = await counters(bench)
                with Traced() as traced:
                    await four_more(bench, told)
                spent = [new - old for old, new in zip(before, after, strict=True)]
                costs[size].append([each / 4 for each in (*spent, traced.calls, traced.lines)])
    print(f"{'events':>8}" + "".join(f"{name:>9}{'ratio':>7}" for name in names))
    first: list[float] = []
    for size in sizes:
        middle = [statistics.median(values) for values in zip(*costs[size], strict=True)]
        first = first or middle
        cells = (
            f"{value:>9,.0f}{value / base:>7.2f}" for value, base in zip(middle, first, strict=True)
        )
        print(f"{size:>8,}" + "".join(cells))
    await telemetry.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10,100,1000,10000")
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    with servers.database_server() as server:
        uvloop.run(main(server, [int(size) for size in chosen.sizes.split(",")], chosen.rounds))
