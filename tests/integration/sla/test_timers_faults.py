"""Storms and clocks that are moved: never early, never double."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from waybill_chassis.database import Database
from waybill_sla import usecases
from waybill_sla.store import Span
from waybill_sla.timers import Timers


async def breaches(sla: Any, story: Any) -> int:
    return (await sla.names(story)).count("TargetBreached")


async def until(found: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Ask until it is so many."""
    async with asyncio.timeout(30):
        while await found() != wanted:
            await asyncio.sleep(0.02)


class Held(Timers):
    """Timers whose storm goes on only when the test says so."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.draining, self.held = asyncio.Event(), asyncio.Event()

    async def _drain_some(self) -> None:
        self.draining.set()
        await self.held.wait()
        await super()._drain_some()


async def test_what_comes_due_in_a_storm_does_not_wait_for_its_end(sla: Any) -> None:
    """The storm is left to a lane of its own: what is due later has fired while that is at work."""
    storm = [sla.ticket("urgent") for _ in range(90)]
    await sla.hear(*(story.opened() for story in storm))
    sla.clock.advance(timedelta(seconds=1))
    later = sla.ticket("urgent")
    await sla.hear(later.opened())
    sla.clock.advance(timedelta(minutes=15) - timedelta(milliseconds=500))
    timers = Held(sla.database)
    await timers.start()
    try:
        await asyncio.wait_for(timers.draining.wait(), 30)
        sla.clock.advance(timedelta(seconds=1))
        timers.wake()
        await until(lambda: breaches(sla, later), 1)
        assert sum([await breaches(sla, story) for story in storm]) < len(storm)
        timers.held.set()
        for story in storm:
            await until(lambda story=story: breaches(sla, story), 1)
    finally:
        timers.held.set()
        await timers.stop()


async def test_one_storm_right_after_another_is_drained_too(sla: Any) -> None:
    """The second begins while the first is worked off, over and over: nothing is left behind."""
    storms = [[sla.ticket("urgent") for _ in range(12)] for _ in range(8)]
    timers = Timers(sla.database, batch=5)
    await timers.start()
    try:
        for storm in storms:
            await sla.hear(*(story.opened() for story in storm))
            sla.clock.advance(timedelta(minutes=16))
            timers.wake()
            await until(lambda storm=storm: breaches(sla, storm[0]), 1)
        for story in (story for storm in storms for story in storm):
            await until(lambda story=story: breaches(sla, story), 1)
    finally:
        await timers.stop()


async def test_a_clock_that_is_set_back_makes_nothing_early_and_nothing_double(sla: Any) -> None:
    """What has fired stays so; what has not waits for its time, by the clock as it stands."""
    start = sla.clock.now()
    first, second = sla.ticket("urgent"), sla.ticket("high")
    await sla.hear(first.opened(), second.opened())
    await sla.pass_time(minutes=15)
    assert await breaches(sla, first) == 1
    sla.clock.set(start)
    await sla.timers.turn()
    async with sla.database.unit_of_work() as uow:
        # It read the clock before that was set back.
        await usecases.fire(uow, Span(start + timedelta(hours=2)), most=10)
    assert (await breaches(sla, first), await breaches(sla, second)) == (1, 0)
    sla.clock.set(start + timedelta(hours=2))
    await sla.timers.turn()
    assert (await breaches(sla, first), await breaches(sla, second)) == (1, 1)


async def test_a_clock_that_jumps_forward_makes_all_due_at_once(sla: Any) -> None:
    """A machine that slept: every deadline in between is told, each once, with its own time."""
    start = sla.clock.now()
    stories = [sla.ticket("urgent"), sla.ticket("high")]
    await sla.hear(*(story.opened() for story in stories))
    sla.clock.advance(timedelta(hours=3))
    await sla.timers.turn()
    await sla.timers.turn()
    for story, allowed in zip(stories, (timedelta(minutes=15), timedelta(hours=2)), strict=True):
        told = [
            at
            for message, at in await sla.told_at(story)
            if type(message).__name__ == "TargetBreached"
        ]
        assert told == [start + allowed]


async def test_whoever_freezes_with_a_batch_loses_it_soon(sla: Any) -> None:
    """Its locks go with its session, long before other transactions; it comes to nothing."""
    story = sla.ticket("urgent")
    await sla.hear(story.opened())
    sla.clock.advance(timedelta(minutes=20))

    async def taken_over() -> int:
        await sla.timers.turn()
        return await breaches(sla, story)

    async def frozen() -> None:
        async with sla.database.unit_of_work() as uow:
            fired = await usecases.fire(uow, Span(uow.now), most=10)
            assert fired.effects
            await until(taken_over, 1)

    with pytest.raises(DBAPIError, match="connection is closed"):
        await frozen()
    assert await breaches(sla, story) == 1
    async with sla.database.unit_of_work() as uow:
        asked = await uow.execute(text("SHOW idle_in_transaction_session_timeout"))
        assert asked.scalar_one() == "10s"


async def test_a_clock_that_cannot_be_judged_is_left_aside(sla: Any) -> None:
    """However many there are, and though they came due first: they fill no batch."""
    broken = [sla.ticket("urgent") for _ in range(4)]
    await sla.hear(*(story.opened() for story in broken))
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text("DELETE FROM segments"))
    sla.clock.advance(timedelta(seconds=1))
    sound = sla.ticket("urgent")
    await sla.hear(sound.opened())
    sla.clock.advance(timedelta(minutes=20))
    timers = Timers(sla.database, batch=2)

    async def fired() -> int:
        await timers.turn()
        return await breaches(sla, sound)

    await until(fired, 1)
