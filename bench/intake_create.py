"""What taking one ticket in by REST costs: against a bare handler, and with a full store.

    python bench/intake_create.py [--pairs 10] [--seconds 4] [--stored 1000000]

Intake runs as a process of the role `http` alone, as where the relay is scaled apart; token,
Idempotency-Key, telemetry are as by default. Servers come from WAYBILL_TEST_POSTGRES_URL, else one
is started for the run.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import uvloop
from _archive import fill, sentences
from _taking_in import Server, Window, bare, intake, intake_database, scratch
from waybill_chassis.testing import servers

FEW = 100

_BESIDE = (
    """
    INSERT INTO event_sequence (source, aggregateid, value)
    SELECT '/waybill/intake', id::text, version FROM tickets
    """,
    """
    INSERT INTO ticket_log (ticket_id, event_id, source, type, occurred_at, recorded_at,
        actor_kind, actor_id, actor_name, cause_kind, cause_id, cause_type, summary)
    SELECT id, uuidv7(created_at - now())::text, '/waybill/intake',
        'waybill.intake.v1.TicketOpened', created_at, created_at, 'submitter', submitter_id::text,
        'Somebody', 'request', id::text, 'POST /v1/tickets', number || ' opened'
    FROM tickets
    """,
    """
    INSERT INTO ticket_statistics (ticket_id, product, type, team, opened, history, counted)
    SELECT id, product, type, '', extract(epoch FROM created_at)::bigint / 900 * 900, '{}', '{}'
    FROM tickets
    """,
    "SELECT setval('ticket_number', 100000000)",
    "VACUUM (ANALYZE) event_sequence",
    "VACUUM (ANALYZE) ticket_log",
    "VACUUM (ANALYZE) ticket_statistics",
    "CHECKPOINT",
)


def ratio(of: list[Window], to: list[Window], figure: Callable[[Window], float]) -> float:
    """The median of the ratios within each pair."""
    return statistics.median(figure(a) / figure(b) for a, b in zip(of, to, strict=True))


async def interleaved(
    one: Server, other: Server, pairs: int, seconds: float
) -> tuple[list[Window], list[Window]]:
    """Load them in turns; the first turn of each warms up."""
    found: dict[Server, list[Window]] = {one: [], other: []}
    for number in range(pairs + 1):
        for server in (one, other) if number % 2 else (other, one):
            window = await server.load(seconds)
            if number:
                found[server].append(window)
        print(f"pair {number} of {pairs}", file=sys.stderr)
    return found[one], found[other]


def show(name: str, windows: list[Window]) -> None:
    """One line of the table."""

    def middle(figure: Callable[[Window], float]) -> float:
        return statistics.median(map(figure, windows))

    print(
        f"{name:<44}{middle(lambda w: w.rate):>10,.0f}{middle(lambda w: w.cpu) * 1e6:>10,.0f}"
        f"{middle(lambda w: w.postgres) * 1e6:>10,.0f}"
        f"{middle(lambda w: w.used.hit / w.tickets):>9.1f}"
        f"{middle(lambda w: w.used.read / w.tickets):>9.2f}"
        f"{middle(lambda w: w.used.wal / w.tickets):>9,.0f}"
    )


def head() -> None:
    """The names of the columns."""
    print(f"{'':<44}{'tickets/s':>10}{'CPU us':>10}{'PG us':>10}{'hit':>9}{'read':>9}{'WAL B':>9}")


def compare(mine: list[Window], theirs: list[Window], target: str) -> None:
    """The lines below two that were measured in turns."""
    rate = ratio(mine, theirs, lambda window: window.rate)
    server = ratio(theirs, mine, lambda window: window.cpu)
    both = ratio(theirs, mine, lambda window: window.cpu + window.postgres)
    print(f"  {rate:.2f} of its rate ({target})")
    print(f"  {server:.2f} of its tickets per processor second of the server process")
    print(f"  {both:.2f} of its tickets per processor second of both, database included\n")


async def against_bare(postgres: str, pairs: int, seconds: float) -> None:
    """Intake and the bare handler, each on a database of its own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(scratch()))
        ours_url = await stack.enter_async_context(intake_database(postgres))
        bare_url = await stack.enter_async_context(intake_database(postgres))
        ours = await stack.enter_async_context(intake(ours_url, folder))
        plain = await stack.enter_async_context(bare(bare_url))
        mine, theirs = await interleaved(ours, plain, pairs, seconds)
    head()
    show("intake", mine)
    show("bare handler, two inserts", theirs)
    compare(mine, theirs, "target 0.50")


async def with_a_full_store(postgres: str, stored: int, pairs: int, seconds: float) -> None:
    """Intake on a store with 100 tickets and on one with as many as `stored`."""
    async with AsyncExitStack() as stack:
        servers_of = {}
        for count in (FEW, stored):
            folder = Path(stack.enter_context(scratch()))
            url = await stack.enter_async_context(intake_database(postgres))
            began = time.monotonic()
            await fill_store(url, count)
            print(f"{count} tickets in {time.monotonic() - began:.0f} s", file=sys.stderr)
            servers_of[count] = await stack.enter_async_context(intake(url, folder))
        many, few = await interleaved(servers_of[stored], servers_of[FEW], pairs, seconds)
    head()
    show(f"with {stored:,} tickets in the store", many)
    show(f"with {FEW:,} at the start", few)
    compare(many, few, "target 0.95")


async def fill_store(url: str, count: int) -> None:
    """So many tickets, with all that intake keeps beside them."""
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, count, sentences(None))
        for statement in _BESIDE:
            await connection.execute(statement)
    finally:
        await connection.close()


async def main(postgres: str, options: argparse.Namespace) -> None:
    """Run the pairs and print the tables."""
    if options.only != "store":
        await against_bare(postgres, options.pairs, options.seconds)
    if options.only != "bare":
        await with_a_full_store(postgres, options.stored, options.pairs, options.seconds)
    print(
        "CPU: of the server process, PG: of the database's backends, each in microseconds for a "
        "ticket; hit, read: buffers\n"
        f"medians of {options.pairs} interleaved pairs, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("bare", "store"))
    chosen = parser.parse_args()
    with servers.database_server() as address:
        uvloop.run(main(address, chosen))
