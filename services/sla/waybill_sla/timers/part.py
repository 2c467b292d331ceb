"""The timers as a part of the process."""

import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from waybill_chassis.database import Database

from waybill_sla import metrics, store, usecases
from waybill_sla.store import Span
from waybill_sla.timers.batches import Aside, Size
from waybill_sla.timers.near import MOST, Near
from waybill_sla.timers.stream import Progress, Stream

BUSY_SECONDS = 0.05
"""Pause when what is due is in other hands; it grows while that goes on."""

FRONT = 50
"""Where more than so many are due at once, all of them are a storm."""

log = structlog.get_logger(__name__)


class Timers:
    """Any number of replicas may run: a clock that one has at hand is skipped by the others.

    In a storm, what is due is left to a lane of its own; what comes due later does not wait for it.
    """

    name = "timers"

    def __init__(
        self,
        database: Database,
        *,
        progress: Progress[Any] | None = None,
        wait_seconds: float = 2.0,
        poll_seconds: float = 0.5,
        batch: int = 200,
    ) -> None:
        """Without `progress` it does not wait for what stood in the stream."""
        self._database = database
        self._clock = database.clock
        self._stream = Stream(progress, database.clock, wait_seconds)
        self._near = Near(poll_seconds)
        self._poll_seconds = poll_seconds
        self._front, self._rest = Size(min(batch, FRONT)), Size(batch)
        self._aside = Aside()
        self._storm: Span | None = None
        self._busy = BUSY_SECONDS
        self._bell = asyncio.Event()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look at the timers now: something nearer may have been armed."""
        # What fires arms nothing.
        if asyncio.current_task() not in self._tasks:
            self._near.soon(0)
            self._bell.set()

    async def start(self) -> None:
        """Begin; a database that is away is waited for in the background."""
        self._stopping = False
        self._storm = self._draining = None
        self._database.on_commit.append(self.wake)
        self._task = self._begin(self._run())

    async def stop(self) -> None:
        """Finish the batches in hand."""
        self._stopping = True
        with contextlib.suppress(ValueError):
            self._database.on_commit.remove(self.wake)
        self.wake()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in list(self._tasks):
            task.cancel()
            await asyncio.wait({task})

    async def wait(self) -> None:
        """Return only when it has ended."""
        if self._task is not None:
            await self._task

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=self.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self) -> None:
        while not self._stopping:
            self._bell.clear()
            try:
                pause = await self._step()
            except (SQLAlchemyError, OSError) as error:
                _say(error)
                pause = self._poll_seconds
            if self._draining is not None and self._draining.done():
                self._draining.result()
                self._draining = None
            if self._storm is not None and self._draining is None:
                self._draining = self._begin(self._drain())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), pause)

    async def turn(self) -> None:
        """Fire all that is due by now."""
        more = True
        while more:
            self._near.soon(0)
            await self._step()
            # A storm ends at the last moment that was known when it began.
            more = self._storm is not None
            while self._storm is not None:
                await self._drain_some()

    async def _step(self) -> float:
        """Fire what is due and no part of a storm; in how many seconds to go on."""
        if self._near.stale(self._clock.now()):
            await self._look()
        first = self._near.first
        if first is None or first > self._clock.now():
            self._busy = BUSY_SECONDS
            return self._near.pause(self._clock.now())
        until = await self._stream.read(first)
        fired = await self._fire(self._front, self._later(until))
        passed = self._near.passed(until)
        if fired.full:
            # So many at once: they must not hold up what has come due since.
            self._storm = Span(passed[-1] if passed else until)
        elif fired.timers < len(passed):
            self._near.soon(self._busy)
            self._busy = min(2 * self._busy, self._poll_seconds)
        return self._near.pause(self._clock.now())

    async def _look(self) -> None:
        now = self._clock.now()
        until = self._near.ask(now)
        span = replace(self._later(until), aside=self._aside.tickets())
        async with self._database.reading() as connection:
            found = await store.near(connection, span, MOST)
        self._near.learn(found, now, until)

    def _later(self, until: datetime) -> Span:
        """What is no part of the storm."""
        return Span(until) if self._storm is None else Span(until, after=self._storm.until)

    async def _drain(self) -> None:
        """Work off the storm, beside what comes due after it."""
        while self._storm is not None and not self._stopping:
            try:
                await self._drain_some()
            except (SQLAlchemyError, OSError) as error:
                _say(error)
                await asyncio.sleep(self._poll_seconds)
        # What others had in hand may be left.
        self._near.soon(0)
        self._bell.set()

    async def _drain_some(self) -> None:
        storm = self._storm
        assert storm is not None
        fired = await self._fire(self._rest, storm)
        if not fired.full and self._storm is storm:
            self._storm = None

    async def _fire(self, size: Size, span: Span) -> usecases.Fired:
        """One batch in one transaction."""
        fired, began = usecases.Fired(), time.monotonic()
        try:
            async with self._database.unit_of_work() as uow:
                fired = await usecases.fire(
                    uow,
                    replace(span, aside=self._aside.tickets()),
                    most=size.most,
                    patience=size.patience,
                )
        except BaseException as error:
            # What fails in one go may do in parts.
            size.halve()
            for effect in fired.effects:
                effect.span.end(error)
            raise
        size.fit(time.monotonic() - began)
        self._count(fired)
        return fired

    def _count(self, fired: usecases.Fired) -> None:
        for ticket_id, error in fired.failed:
            self._aside.put(ticket_id)
            log.error("timers_not_fired", ticket_id=str(ticket_id), exc_info=error)
        now = self._clock.now()
        for effect in fired.effects:
            effect.span.end()
            late = max((now - effect.since).total_seconds(), 0.0)
            metrics.detection_lag.record(late, {"kind": effect.kind})
            metrics.fired.add(1, {"kind": effect.kind})


def _say(error: Exception) -> None:
    log.warning("timers_not_fired", error=f"{type(error).__name__}: {error}"[:500])
