"""Fires what comes due: durable timers, each effect in the transaction that deletes its timer."""

import asyncio
import contextlib
import time
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from waybill_chassis.database import Database
from waybill_chassis.problems import Unavailable

from waybill_sla import metrics, store, usecases

BUSY_SECONDS = 0.05
"""Pause when all that is due is in other hands."""

LONG_SECONDS = 0.5
"""A batch that takes longer is followed by a smaller one, down to `_FEW`."""

_FEW = 50
_ASK_SECONDS = 0.02

log = structlog.get_logger(__name__)

Mark = TypeVar("Mark")


class Progress(Protocol[Mark]):
    """Tells how far the group has read intake's topic; raises `Unavailable` if nobody knows."""

    async def mark(self) -> Mark:
        """Where the topic ends now."""
        ...

    async def reached(self, mark: Mark) -> bool:
        """Whether the group has handled all that stood before `mark`."""
        ...


class Timers(Generic[Mark]):
    """Any number of replicas may run: a timer that one has at hand is skipped by the others."""

    name = "timers"

    def __init__(
        self,
        database: Database,
        *,
        progress: Progress[Mark] | None = None,
        wait_seconds: float = 2.0,
        poll_seconds: float = 0.5,
        batch: int = 500,
    ) -> None:
        """Without `progress` it does not wait for what stood in the stream."""
        self._database = database
        self._clock = database.clock
        self._progress = progress
        self._wait_seconds = wait_seconds
        self._poll_seconds = poll_seconds
        self._batch = self._most = batch
        self._bell = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look at the timers now: something nearer may have been armed."""
        self._bell.set()

    async def start(self) -> None:
        """Begin; a database that is away is waited for in the background."""
        self._stopping = False
        self._database.on_commit.append(self.wake)
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Finish the batch in hand."""
        self._stopping = True
        with contextlib.suppress(ValueError):
            self._database.on_commit.remove(self.wake)
        self.wake()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=5)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait(self) -> None:
        """Return only when it has ended."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopping:
            self._bell.clear()
            try:
                pause = await self.turn()
            except (SQLAlchemyError, OSError) as error:
                log.warning("timers_not_fired", error=f"{type(error).__name__}: {error}"[:500])
                pause = self._poll_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), pause)

    async def turn(self) -> float:
        """Fire all that is due by now; in how many seconds to look again."""
        upcoming, now = await self._next_due(), self._clock.now()
        if upcoming is None or upcoming > now:
            return self._pause(upcoming, now)
        until, failed = await self._fire_all(await self._catch_up())
        upcoming = await self._next_due()
        if upcoming is not None and upcoming <= until:
            return self._poll_seconds if failed else BUSY_SECONDS
        return self._pause(upcoming, self._clock.now())

    async def _fire_all(self, until: datetime) -> tuple[datetime, int]:
        """Batch by batch; what comes due meanwhile has its part in each. How far it came."""
        failed = 0
        ahead: asyncio.Task[datetime] | None = None
        try:
            while not self._stopping:
                fired = await self._fire(until)
                failed += len(fired.failed)
                if not fired.clocks:
                    break
                if ahead is None:
                    # The stream is waited for beside the work, not before each batch.
                    ahead = asyncio.create_task(self._catch_up())
                elif ahead.done():
                    until, ahead = max(until, ahead.result()), None
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.wait({ahead})
        return until, failed

    def _pause(self, upcoming: datetime | None, now: datetime) -> float:
        if upcoming is None:
            return self._poll_seconds
        return min(max((upcoming - now) / timedelta(seconds=1), 0.0), self._poll_seconds)

    async def _next_due(self) -> datetime | None:
        async with self._database.reading() as connection:
            return await store.next_due(connection)

    async def _catch_up(self) -> datetime:
        """Wait until what stands in the stream now has been handled, or for as long as we may.

        Gives the moment up to which timers may be judged then.
        """
        now = self._clock.now()
        if self._progress is None:
            return now
        mark: Mark | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                while not self._stopping:
                    with contextlib.suppress(Unavailable):
                        if mark is None:
                            mark = await self._progress.mark()
                        if await self._progress.reached(mark):
                            return now
                    await asyncio.sleep(_ASK_SECONDS)
        return now

    async def _fire(self, until: datetime) -> usecases.Fired:
        """One batch in one transaction."""
        fired, began = usecases.Fired(), time.monotonic()
        try:
            async with self._database.unit_of_work() as uow:
                fired = await usecases.fire(uow, until, most=self._most)
        except BaseException as error:
            # What fails in one go may do in parts.
            self._most = max(self._most // 2, 1)
            for effect in fired.effects:
                effect.span.end(error)
            raise
        self._fit(time.monotonic() - began)
        self._count(fired)
        return fired

    def _fit(self, took: float) -> None:
        """What comes due meanwhile waits for one batch: that must not take long."""
        if took > LONG_SECONDS:
            self._most = max(self._most // 2, min(_FEW, self._batch))
        elif took < LONG_SECONDS / 2:
            self._most = min(self._most * 2, self._batch)

    def _count(self, fired: usecases.Fired) -> None:
        for ticket_id, error in fired.failed:
            log.error("timers_not_fired", ticket_id=str(ticket_id), exc_info=error)
        now = self._clock.now()
        for effect in fired.effects:
            effect.span.end()
            late = max((now - effect.since).total_seconds(), 0.0)
            metrics.detection_lag.record(late, {"kind": effect.kind})
            metrics.fired.add(1, {"kind": effect.kind})
