"""One reader for many listeners: nobody who is slow holds up the others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from waybill_chassis.http.sse import Broadcast
from waybill_chassis.problems import Unavailable


class Log:
    """News by their numbers; says how often it was asked."""

    def __init__(self) -> None:
        self.last = 0
        self.began = 0

    async def begin(self) -> int:
        self.began += 1
        return self.last

    async def read(self, since: int) -> tuple[int, list[int] | None]:
        new = list(range(since + 1, self.last + 1))
        return self.last, new or None

    def broadcast(self, **options: Any) -> Broadcast[int, list[int]]:
        return Broadcast(self.begin, self.read, every=0.001, **options)


async def first(news: AsyncIterator[tuple[int, list[int]]]) -> tuple[int, list[int]] | None:
    async with asyncio.timeout(10):
        return await anext(news, None)


async def test_all_who_listen_hear_what_is_new_since_they_began() -> None:
    """Each from their own position on, by one reader."""
    log = Log()
    broadcast = log.broadcast()
    async with broadcast.listen() as (position, one):
        assert position == 0
        log.last = 2
        assert await first(one) == (2, [1, 2])
        async with broadcast.listen() as (later, two):
            assert later == 2
            log.last = 3
            assert await first(one) == await first(two) == (3, [3])
    assert log.began == 1


async def test_who_does_not_take_the_news_is_dropped_alone() -> None:
    """And gets nothing more, so that what was missed is asked for anew; others go on."""
    log = Log()
    broadcast = log.broadcast(most=2)
    async with broadcast.listen() as (_, slow), broadcast.listen() as (_, quick):
        for number in range(1, 6):
            log.last = number
            assert await first(quick) == (number, [number])
        assert await first(slow) is None


async def test_it_reads_only_while_somebody_listens() -> None:
    """Whoever comes after all have gone begins at the present."""
    log = Log()
    broadcast = log.broadcast()
    async with broadcast.listen():
        pass
    log.last = 7
    async with broadcast.listen() as (position, _):
        assert position == 7


async def test_too_many_listeners_are_refused() -> None:
    """Rather than slowing down those who are there."""
    broadcast = Log().broadcast(listeners=1)
    async with broadcast.listen():
        with pytest.raises(Unavailable):
            async with broadcast.listen():
                pass
