"""Every deadline fires once, whoever dies and however many look; never early."""

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from waybill_chassis.database import Database
from waybill_chassis.problems import Unavailable
from waybill_sla.timers import Timers

TICKETS = 30
RATION = TICKETS // 5
"""What a process may do: less than five of them cannot do it all, so two at least are killed."""

# Fires what is due, one clock a transaction, and no more than its ration: on a busy machine one
# could else be done with everything before anybody killed it.
PROGRAM = """
import asyncio, sys
from datetime import datetime
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_sla.timers import Timers

class Rationed(Timers):
    left = int(sys.argv[3])

    async def _fire(self, size, span):
        if self.left <= 0:
            await asyncio.Event().wait()
        fired = await super()._fire(size, span)
        self.left -= fired.clocks
        return fired

async def main(url, now):
    clock = ManualClock(datetime.fromisoformat(now))
    database = Database(url, service="sla", clock=clock)
    timers = Rationed(database, batch=1)
    await timers.start()
    print("started", flush=True)
    await timers.wait()

asyncio.run(main(*sys.argv[1:3]))
"""


class Gate:
    """Progress that a test opens."""

    def __init__(self, *, away: bool = False) -> None:
        self.asked = asyncio.Event()
        self.open = False
        self.away = away

    async def mark(self) -> int:
        if self.away:
            raise Unavailable("no broker")
        return 7

    async def reached(self, mark: int) -> bool:
        assert mark == 7
        self.asked.set()
        return self.open


async def count(database: Database, table: str) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def due(database: Database, moment: Any) -> int:
    async with database.reading() as connection:
        found = await connection.execute(
            text("SELECT count(*) FROM timers WHERE due_at <= :moment"), {"moment": moment}
        )
        return int(found.scalar_one())


async def effects(database: Database) -> Counter[tuple[str, str]]:
    """How often each ticket was told of each kind of thing."""
    async with database.reading() as connection:
        rows = await connection.execute(text("SELECT aggregateid, type FROM outbox"))
        return Counter((row.aggregateid, row.type.rpartition(".")[2]) for row in rows.all())


async def overdue_tickets(sla: Any) -> list[Any]:
    """Urgent tickets whose response was due a minute ago, none of it told."""
    stories = [sla.ticket("urgent") for _ in range(TICKETS)]
    await sla.hear(*(story.opened() for story in stories))
    sla.clock.advance(timedelta(minutes=16))
    return stories


def assert_each_once(found: Counter[tuple[str, str]], stories: list[Any]) -> None:
    for story in stories:
        assert found[story.id, "ClockStarted"] == 1
        assert found[story.id, "TargetAtRisk"] == 1
        assert found[story.id, "TargetBreached"] == 1
        assert found[story.id, "TicketEscalated"] == 1


async def test_processes_killed_at_random_neither_lose_nor_double_a_deadline(sla: Any) -> None:
    """Three at a time, killed over and over: each effect is there once."""
    stories = await overdue_tickets(sla)
    now = sla.clock.now()
    processes: list[asyncio.subprocess.Process] = []
    kills = 0
    try:
        async with asyncio.timeout(100):
            while await due(sla.database, now):
                while len(processes) < 3:
                    process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-c",
                        PROGRAM,
                        sla.database.url,
                        now.isoformat(),
                        str(RATION),
                        stdout=asyncio.subprocess.PIPE,
                    )
                    processes.append(process)
                victim = processes.pop(0)
                assert victim.stdout is not None
                await victim.stdout.readline()
                # Let it get somewhere first, but maybe not to the end of what it is in.
                await asyncio.sleep(random.uniform(0, 0.15))
                victim.send_signal(signal.SIGKILL)
                await victim.wait()
                kills += 1
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert kills > 1
    assert_each_once(await effects(sla.database), stories)


@pytest.mark.parametrize("table", ["timers", "clocks", "targets", "outbox"])
async def test_a_failure_at_any_statement_leaves_all_as_it_was(sla: Any, table: str) -> None:
    """Effect and timer go together: after the failure nothing is done, then all of it once."""
    stories = await overdue_tickets(sla)
    before = {name: await count(sla.database, name) for name in ("timers", "outbox")}
    event = "DELETE" if table == "timers" else "INSERT OR UPDATE"
    async with sla.database.unit_of_work() as uow:
        await uow.execute(
            text(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'disk full'; END $$"
            )
        )
        await uow.execute(
            text(
                f"CREATE TRIGGER fails AFTER {event} ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION fail()"
            )
        )
    with pytest.raises(DBAPIError, match="disk full"):
        await sla.timers.turn()
    assert {name: await count(sla.database, name) for name in before} == before
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text(f"DROP TRIGGER fails ON {table}"))
    await sla.timers.turn()
    assert_each_once(await effects(sla.database), stories)


async def test_replicas_share_the_work(sla: Any) -> None:
    """Several that fire at once take different timers, and none twice."""
    stories = await overdue_tickets(sla)
    replicas = [Timers(sla.database, batch=7) for _ in range(4)]
    async with asyncio.timeout(30):
        while await due(sla.database, sla.clock.now()):
            await asyncio.gather(*(replica.turn() for replica in replicas))
    assert_each_once(await effects(sla.database), stories)


async def test_it_waits_for_what_stood_in_the_stream(sla: Any) -> None:
    """An answer that stood there when the timer came due is heard first: no breach at all."""
    story = sla.ticket("urgent")
    start = sla.clock.now()
    await sla.hear(story.opened(), story.assigned(start))
    gate = Gate()
    timers = Timers(sla.database, progress=gate, wait_seconds=60)
    sla.clock.advance(timedelta(minutes=15))
    turn = asyncio.create_task(timers.turn())
    await asyncio.wait_for(gate.asked.wait(), 30)
    await sla.hear(story.replied(start + timedelta(minutes=14)))
    gate.open = True
    await turn
    assert "TargetBreached" not in await sla.names(story)


@pytest.mark.parametrize("away", [False, True])
async def test_it_waits_for_the_stream_only_so_long(sla: Any, away: bool) -> None:
    """A group that lags, or a broker that is away, holds no deadline up for ever."""
    story = sla.ticket("urgent")
    await sla.hear(story.opened())
    timers = Timers(sla.database, progress=Gate(away=away), wait_seconds=0.1)
    sla.clock.advance(timedelta(minutes=15))
    await timers.turn()
    assert "TargetBreached" in await sla.names(story)


async def test_a_ticket_that_a_consumer_has_at_hand_is_left_for_later(sla: Any) -> None:
    """The timers never wait for a row lock, so they cannot deadlock; the others go ahead."""
    busy, free = sla.ticket("urgent"), sla.ticket("urgent")
    await sla.hear(busy.opened(), free.opened())
    sla.clock.advance(timedelta(minutes=15))
    async with sla.database.unit_of_work() as uow:
        await uow.execute(
            text("SELECT 1 FROM clocks WHERE ticket_id = CAST(:id AS uuid) FOR UPDATE"),
            {"id": busy.id},
        )
        await sla.timers.turn()
        assert "TargetBreached" in await sla.names(free)
        assert "TargetBreached" not in await sla.names(busy)
    await sla.timers.turn()
    assert "TargetBreached" in await sla.names(busy)


async def test_a_clock_that_cannot_be_judged_holds_up_no_other(sla: Any) -> None:
    """Its timers stay for whoever repairs it; those beside it fire."""
    broken, sound = sla.ticket("urgent"), sla.ticket("urgent")
    await sla.hear(broken.opened(), sound.opened())
    async with sla.database.unit_of_work() as uow:
        await uow.execute(
            text("DELETE FROM segments WHERE ticket_id = CAST(:id AS uuid)"), {"id": broken.id}
        )
    before = len(await sla.timer_rows(broken))
    await sla.pass_time(minutes=15)
    assert "TargetBreached" in await sla.names(sound)
    assert await sla.names(broken) == ["ClockStarted"]
    assert len(await sla.timer_rows(broken)) == before


async def test_the_running_part_fires_by_itself_and_is_woken_by_a_commit(sla: Any) -> None:
    """What this process arms nearer than the next look is seen at once, not at the next poll."""
    timers = Timers(sla.database, poll_seconds=3600)
    await timers.start()
    try:
        story = sla.ticket("urgent")
        sla.clock.advance(timedelta(minutes=20))
        await sla.hear(story.opened())
        async with asyncio.timeout(30):
            while "TargetBreached" not in await sla.names(story):
                await asyncio.sleep(0.02)
    finally:
        await timers.stop()


async def test_what_fires_leads_back_to_what_armed_it(sla: Any) -> None:
    """The place in the trace that armed a timer is kept with it."""
    story = sla.ticket("urgent")
    opened = story.opened()
    await sla.hear(opened)
    assert {row.traceparent for row in await sla.timer_rows(story)} == {opened.trace.traceparent}
