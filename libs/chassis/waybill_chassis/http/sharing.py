"""Creates that come while others are being written: they share the next transaction.

A transaction costs far more than what one create adds to it. Whoever comes when none is under way
goes on at once, alone; the others wait for its end, or until they are enough, and go together. Each
is answered only once that is committed. What cannot go with others, and all when one of them fails,
goes alone after all: with its Idempotency-Key that is safe, whatever became of the first attempt.
"""

import asyncio
from asyncio import Future, Task, TimerHandle
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from starlette.responses import Response

from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.http.idempotency import Claim, claim_all, keep_all

PATIENCE = 0.05
"""Seconds after which a transaction that has to wait itself is not waited for any more."""

MOST_UNDER_WAY = 4
"""So many transactions at a time, however many of them have to wait."""

ENOUGH = 8
"""So many that wait do not wait for the end of another transaction."""

MOST = 100
"""Creates in one transaction."""

Item = TypeVar("Item")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Item]):
    item: Item
    claim: Claim
    alone: Callable[[], Awaitable[Response]]
    context: Context
    answer: "Future[Response]"

    async def go_alone(self) -> None:
        """Answer it as if there were no others."""
        try:
            response = await self.alone()
        except Exception as error:  # noqa: BLE001 - it is the request's, which waits for it
            if not self.answer.done():
                self.answer.set_exception(error)
        else:
            self.say(response)

    def say(self, response: Response) -> None:
        """Answer it, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_result(response)


class Sharing(Generic[Item]):
    """Creates of one kind; a request hands it to its `RunOnce`, as `share=partial(it, item)`."""

    def __init__(
        self,
        database: Database,
        effect: Callable[[UnitOfWork, Sequence[Item]], Awaitable[Sequence[Response]]],
        fits: Callable[[UnitOfWork, Item], Awaitable[bool]],
    ) -> None:
        """`effect` answers each item, in their order; `fits` tells those that it will not refuse.

        All that an effect locks it must lock in an order of its own, so that nobody deadlocks.
        """
        self._database = database
        self._effect = effect
        self._fits = fits
        self._waiting: list[_Asked[Item]] = []
        self._under_way = 0
        self._patience: TimerHandle | None = None
        self._tasks: set[Task[None]] = set()

    async def __call__(
        self, item: Item, claim: Claim, alone: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer to `item`; `alone` is how it goes without others."""
        if not self._under_way:
            self._under_way += 1
            try:
                return await alone()
            finally:
                self._ended()
        loop = asyncio.get_running_loop()
        answer: Future[Response] = loop.create_future()
        self._waiting.append(_Asked(item, claim, alone, copy_context(), answer))
        if len(self._waiting) >= ENOUGH:
            self._go_on()
        elif self._patience is None:
            self._patience = loop.call_later(PATIENCE, self._go_on)
        return await answer

    def _ended(self) -> None:
        self._under_way -= 1
        # Those without a timer have waited long enough.
        if not self._under_way or self._patience is None:
            self._go_on()

    def _go_on(self) -> None:
        """Begin with those that wait, unless too much is under way."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._under_way >= MOST_UNDER_WAY:
            return
        waiting = [one for one in self._waiting if not one.answer.done()]
        asked, self._waiting = waiting[:MOST], waiting[MOST:]
        if asked:
            self._under_way += 1
            # In no request's span: what is done for all belongs to no single one.
            task = asyncio.create_task(self._go(asked), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _go(self, asked: Sequence[_Asked[Item]]) -> None:
        try:
            if len(asked) > 1:
                try:
                    await self._together(asked)
                except Exception as error:  # noqa: BLE001 - each will hear of its own
                    log.warning("creates go one by one", reason=type(error).__qualname__)
            left = [one for one in asked if not one.answer.done()]
            await asyncio.gather(
                *(asyncio.create_task(one.go_alone(), context=one.context) for one in left)
            )
        finally:
            for one in asked:
                one.answer.cancel()
            self._ended()

    async def _together(self, asked: Sequence[_Asked[Item]]) -> None:
        async with self._database.unit_of_work() as uow:
            fitting = [one for one in asked if await self._fits(uow, one.item)]
            claimed = await claim_all(uow, [one.claim for one in fitting])
            mine = [one for one in fitting if one.claim in claimed]
            responses = await self._effect(uow, [one.item for one in mine]) if mine else ()
            answered = list(zip(mine, responses, strict=True))
            keep_all(uow, [(one.claim, response) for one, response in answered])
        for one, response in answered:
            one.say(response)
