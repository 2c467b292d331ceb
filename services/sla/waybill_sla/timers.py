"""Fires what comes due: durable timers, each effect in the transaction that deletes its timer."""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from waybill_chassis.database import Database
from waybill_chassis.problems import Unavailable

from waybill_sla import metrics, store, usecases

BUSY_SECONDS = 0.05
"""Pause when all that is due is in other hands."""

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
        self._batch = batch
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
        moment = self._clock.now()
        upcoming = await self._next_due()
        if upcoming is None or upcoming > moment:
            return self._pause(upcoming, moment)
        await self._catch_up()
        failed = 0
        while not self._stopping:
            fired = await self._fire(moment)
            failed += fired.failed
            if not fired.clocks:
                break
        upcoming = await self._next_due()
        if upcoming is not None and upcoming <= moment:
            return self._poll_seconds if failed else BUSY_SECONDS
        return self._pause(upcoming, self._clock.now())

    def _pause(self, upcoming: datetime | None, now: datetime) -> float:
        if upcoming is None:
            return self._poll_seconds
        return min(max((upcoming - now) / timedelta(seconds=1), 0.0), self._poll_seconds)

    async def _next_due(self) -> datetime | None:
        async with self._database.reading() as connection:
            return await store.next_due(connection)

    async def _catch_up(self) -> None:
        """Wait until what stands in the stream now has been handled, or for as long as we may."""
        if self._progress is None:
            return
        mark: Mark | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                while not self._stopping:
                    with contextlib.suppress(Unavailable):
                        if mark is None:
                            mark = await self._progress.mark()
                        if await self._progress.reached(mark):
                            return
                    await asyncio.sleep(_ASK_SECONDS)

    async def _fire(self, until: datetime) -> usecases.Fired:
        """One batch in one transaction."""
        fired = usecases.Fired()
        try:
            async with self._database.unit_of_work() as uow:
                fired = await usecases.fire(uow, until, most=self._batch)
        except BaseException as error:
            for span in fired.spans:
                span.end(error)
            raise
        for span in fired.spans:
            span.end()
        for kind, seconds in fired.lags:
            metrics.detection_lag.record(seconds, {"kind": kind})
            metrics.fired.add(1, {"kind": kind})
        return fired
