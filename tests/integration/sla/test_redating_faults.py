"""Hundreds of clocks dated anew while the processes that do it are killed: no clock is left out.

A process is killed for certain in the middle of a batch, since somebody else has a clock of that.
"""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from waybill_chassis.database import Database
from waybill_chassis.testing.services import tested_service
from waybill_sla.bootstrap import build
from waybill_sla.settings import Settings

pytestmark = pytest.mark.timeout(300)

TICKETS = 1200
BATCHES_BEFORE = 2
"""So many batches can be done before the clock that somebody has."""
MONDAY_TO_FRIDAY = ("monday", "tuesday", "wednesday", "thursday", "friday")
DAY = [{"from": "09:00", "to": "17:00"}]
OFFICE = {"time_zone": "Europe/Berlin", "hours": dict.fromkeys(MONDAY_TO_FRIDAY, DAY)}
WIDE = {"time_zone": "Europe/Berlin", "hours": dict.fromkeys((*MONDAY_TO_FRIDAY, "saturday"), DAY)}
NOW = datetime(2026, 1, 8, 9, tzinfo=UTC)

# Dates anew whatever there is, as a replica does.
PROGRAM = """
import asyncio, sys
from datetime import datetime
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_sla.agreed import agreement
from waybill_sla.redating import work

async def main(url, now):
    database = Database(url, service="sla", clock=ManualClock(datetime.fromisoformat(now)))
    print("started", flush=True)
    while True:
        try:
            await work(database, agreement)
        except Exception as error:
            print(error, file=sys.stderr)
        await asyncio.sleep(0.05)

asyncio.run(main(*sys.argv[1:]))
"""


def policy(calendar: str, response: str, resolution: str) -> dict[str, Any]:
    times = {"response": response, "resolution": resolution}
    targets = dict.fromkeys(("urgent", "high", "medium", "low"), times)
    return {"targets": targets, "selector": {"product": "demo"}, "calendar": calendar}


async def ask(sla: Any, method: str, path: str, body: Any, version: int = 0, **params: Any) -> Any:
    headers = sla.mint.headers("admin") | {"If-Match": f'"{version}"'}
    answer = await sla.client.request(
        method, f"/v1/sla/{path}", json=body, headers=headers, params=params
    )
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def edit_calendar(sla: Any) -> Any:
    return await ask(sla, "PUT", "calendars/office", WIDE, 1)


async def apply_policy(sla: Any) -> Any:
    return await ask(
        sla, "PUT", "policies/demo", policy("office", "PT3H", "PT60H"), 1, redate="true"
    )


async def agree(sla: Any) -> None:
    await ask(sla, "POST", "calendars", OFFICE | {"name": "office"})
    await ask(sla, "POST", "policies", policy("office", "PT12H", "PT40H") | {"name": "demo"})


def lives(sla: Any, count: int) -> list[list[Any]]:
    """What is told of so many tickets: some are answered, some wait for their users."""
    found = []
    for number in range(count):
        story = sla.ticket()
        told = [story.opened()]
        if number % 3 == 1:
            told.append(story.replied(NOW + timedelta(minutes=10)))
        if number % 4 == 2:
            told.append(story.moved("awaiting_user", NOW + timedelta(minutes=30)))
        found.append(told)
    return found


async def hear(sla: Any, told: list[list[Any]]) -> None:
    for first in range(0, len(told), 250):
        await sla.hear(*(event for one in told[first : first + 250] for event in one))


async def kept(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What is open, and its timers, by table."""
    async with database.reading() as connection:
        targets = await connection.execute(
            text(
                "SELECT ticket_id, kind, state, allowed, due_at, warned_share FROM targets"
                " WHERE state IN ('running', 'at_risk', 'paused') ORDER BY ticket_id, kind"
            )
        )
        timers = await connection.execute(
            text("SELECT ticket_id, kind, name, share, due_at FROM timers ORDER BY 1, 2, 3, 4")
        )
        return {
            "targets": [tuple(row) for row in targets.all()],
            "timers": [tuple(row) for row in timers.all()],
        }


async def redated(database: Database) -> dict[UUID, int]:
    """How often each ticket was told that it is dated anew."""
    async with database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT CAST(aggregateid AS uuid) AS id, count(*) AS times FROM outbox"
                " WHERE type LIKE '%.ClockStarted' GROUP BY aggregateid"
            )
        )
        # Each was told once that it began.
        return {row.id: row.times - 1 for row in rows.all()}


async def task(database: Database) -> Any:
    async with database.reading() as connection:
        return (await connection.execute(text("SELECT * FROM redatings"))).one()


async def waits(database: Database) -> bool:
    """Whether somebody waits for a row that another has."""
    async with database.reading() as connection:
        found = await connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock')"
            )
        )
        return bool(found.scalar_one())


@contextlib.asynccontextmanager
async def in_hand(database: Database, ticket_id: UUID) -> AsyncIterator[None]:
    """A ticket's clock is locked by somebody who takes his time."""
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM clocks WHERE ticket_id = $1 FOR UPDATE", ticket_id
            )
            yield
    finally:
        await connection.close()


async def started(database: Database) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, database.url, NOW.isoformat()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    while not await what():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("change", [edit_calendar, apply_policy])
async def test_whoever_is_killed_in_the_middle_leaves_no_clock_and_none_twice(
    sla: Any,
    driven: Callable[[Any], Any],
    new_service_database: Callable[[str], Awaitable[str]],
    change: Callable[[Any], Awaitable[Any]],
) -> None:
    """It ends as if the change had stood there from the start; each clock tells of it once."""
    sla.clock.set(NOW)
    told = lives(sla, TICKETS)
    await agree(sla)
    await hear(sla, told)
    before = await kept(sla.database)
    assert (await change(sla))["redating"] == TICKETS
    processes: list[asyncio.subprocess.Process] = []

    async def ended() -> bool:
        return (await task(sla.database)).ended_at is not None

    async def waiting() -> bool:
        return await waits(sla.database)

    try:
        async with asyncio.timeout(200):
            # Ids rise with time, and it goes through them in their order.
            held = sorted(one[0].subject for one in told)[200 * BATCHES_BEFORE + 100]
            async with in_hand(sla.database, UUID(held)):
                processes.append(await started(sla.database))
                await until(waiting)
                processes.append(await started(sla.database))
                processes[0].send_signal(signal.SIGKILL)
                await processes[0].wait()
                assert (await task(sla.database)).done == 200 * BATCHES_BEFORE
            processes.append(await started(sla.database))
            await asyncio.sleep(random.uniform(0.0, 0.3))
            processes[1].send_signal(signal.SIGKILL)
            await until(ended)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    done = await task(sla.database)
    assert done.done == done.total == TICKETS
    async with tested_service(
        "sla",
        build,
        Settings,
        database_url=await new_service_database("sla"),
        mint=sla.mint,
        clock=sla.clock,
    ) as service:
        fresh = driven(service)
        await agree(fresh)
        await change(fresh)
        await hear(fresh, told)
        assert await kept(sla.database) == await kept(fresh.database)
    moved = {
        old[0]
        for old, new in zip(before["targets"], (await kept(sla.database))["targets"], strict=True)
        if old != new
    }
    assert moved
    assert await redated(sla.database) == {
        UUID(one[0].subject): int(UUID(one[0].subject) in moved) for one in told
    }
