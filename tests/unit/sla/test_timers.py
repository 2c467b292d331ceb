"""What timers keep in memory: the near deadlines, and how far the stream had been read when."""

import asyncio
from datetime import timedelta

from waybill_chassis.clock import ManualClock
from waybill_chassis.problems import Unavailable
from waybill_sla.timers.near import MOST, Near
from waybill_sla.timers.stream import Stream

SECOND = timedelta(seconds=1)


class Lagging:
    """A topic that grows by one with each mark, and a group that a test lets read."""

    def __init__(self) -> None:
        self.end = self.read = 0
        self.away = False

    async def mark(self) -> int:
        if self.away:
            raise Unavailable("no broker")
        self.end += 1
        return self.end

    async def reached(self, mark: int) -> bool:
        return mark <= self.read

    async def marked(self, times: int) -> None:
        """Wait until it was asked so often where the topic ends."""
        while self.end < times:
            await asyncio.sleep(0.005)


async def test_a_deadline_waits_only_for_what_stood_there_when_it_came_due() -> None:
    """What comes after it keeps the group behind for ever, and it does not matter."""
    topic, clock = Lagging(), ManualClock()
    stream = Stream(topic, clock, wait_seconds=60)
    due = clock.now()
    reading = asyncio.create_task(stream.read(due))
    async with asyncio.timeout(30):
        await topic.marked(1)
        clock.advance(SECOND)
        await topic.marked(2)
        clock.advance(SECOND)
        await topic.marked(3)
        topic.read = 2
        assert await reading in (due, due + SECOND)
        # The next one goes by what has been noted already.
        assert await stream.read(due + SECOND) == due + SECOND


async def test_a_deadline_waits_so_long_and_no_longer() -> None:
    """Also where nobody can say where the stream ended."""
    topic, clock = Lagging(), ManualClock()
    topic.away = True
    stream = Stream(topic, clock, wait_seconds=0.05)
    async with asyncio.timeout(30):
        assert await stream.read(clock.now()) == clock.now()


async def test_what_was_read_says_nothing_once_the_clock_was_set_back() -> None:
    """Whoever waits gets an earlier moment, for which nothing is due."""
    topic, clock = Lagging(), ManualClock()
    topic.read = 1000
    stream = Stream(topic, clock, wait_seconds=60)
    start = clock.now()
    clock.advance(SECOND)
    async with asyncio.timeout(30):
        assert await stream.read(start + SECOND) == start + SECOND
        clock.set(start)
        assert await stream.read(start + SECOND) < start + SECOND
        marks = topic.end
        clock.set(start + SECOND / 2)
        assert await stream.read(start + SECOND / 2) == start + SECOND / 2
    assert topic.end > marks


def test_near_deadlines_are_known_until_the_clock_leaves_them() -> None:
    """Set back or far ahead, what is in memory is asked for anew; so it is when it is time."""
    clock, near = ManualClock(), Near(poll_seconds=3600)
    now = clock.now()
    assert near.stale(now)
    until = near.ask(now)
    near.learn([now + SECOND, now + SECOND, now + 3 * SECOND], now, until)
    assert not near.stale(now)
    assert near.first == now + SECOND
    assert near.pause(now) <= 1
    assert near.stale(now - SECOND)
    assert near.stale(until)
    assert near.passed(now + 2 * SECOND) == [now + SECOND, now + SECOND]
    assert near.first == now + 3 * SECOND
    near.soon(0)
    assert near.stale(now)


def test_what_is_armed_during_a_look_is_looked_for_again() -> None:
    """The look may have begun before that was committed."""
    clock, near = ManualClock(), Near(poll_seconds=3600)
    until = near.ask(clock.now())
    near.soon(0)
    near.learn([], clock.now(), until)
    assert near.stale(clock.now())


def test_of_very_many_only_the_first_are_kept() -> None:
    """When the last of them has passed, it is time to look again."""
    clock, near = ManualClock(), Near(poll_seconds=3600)
    now = clock.now()
    until = near.ask(now)
    near.learn([now + SECOND * place / MOST for place in range(MOST)], now, until)
    assert not near.stale(now)
    assert near.stale(now + SECOND)
