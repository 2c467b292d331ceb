"""Up to when timers may be judged: what stood in the stream until then has been read."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from waybill_chassis.clock import Clock
from waybill_chassis.problems import Unavailable

ASK_SECONDS = 0.02
"""How often the broker is asked while the stream is behind."""

Mark = TypeVar("Mark")


class Progress(Protocol[Mark]):
    """Tells how far the group has read the topics; raises `Unavailable` if nobody knows."""

    async def mark(self) -> Mark:
        """Where the topics end now."""
        ...

    async def reached(self, mark: Mark) -> bool:
        """Whether the group has handled all that stood before `mark`."""
        ...


@dataclass(slots=True)
class _Place(Generic[Mark]):
    """Where the stream ended at a moment; without a `mark` nobody knows."""

    at: datetime
    expires: float
    mark: Mark | None = None


class Stream(Generic[Mark]):
    """Notes where the stream ends while timers wait, and sees each place reached or given up."""

    def __init__(self, progress: Progress[Mark] | None, clock: Clock, wait_seconds: float) -> None:
        """Without `progress` nothing is waited for."""
        self._progress = progress
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._places: deque[_Place[Mark]] = deque()
        self._read = datetime.min.replace(tzinfo=UTC)

    async def read(self, due: datetime) -> datetime:
        """Up to when one may judge, `due` or later: at once where the stream has been read.

        Places follow one another while it is behind, so that each deadline waits for itself only.
        """
        if self._progress is None:
            return self._clock.now()
        while True:
            now = self._clock.now()
            if now < self._read:
                # The clock was set back.
                self._places.clear()
                self._read = now
            if self._read >= due or now < due:
                return self._read
            with contextlib.suppress(Unavailable, TimeoutError):
                if not self._places or (now - self._places[-1].at).total_seconds() >= ASK_SECONDS:
                    self._places.append(_Place(now, time.monotonic() + self._wait_seconds))
                async with asyncio.timeout(self._places[0].expires - time.monotonic()):
                    await self._ask(self._progress)
            self._give_up()
            if self._read < due:
                await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, progress: Progress[Mark]) -> None:
        newest = self._places[-1]
        if newest.mark is None:
            newest.mark = await progress.mark()
        while self._places:
            # The oldest with a mark: what is reached there says nothing of those behind it.
            place = next((place for place in self._places if place.mark is not None), None)
            if place is None or place.mark is None or not await progress.reached(place.mark):
                return
            self._pass(place)

    def _give_up(self) -> None:
        """Nobody waits for ever."""
        now = time.monotonic()
        for place in [place for place in self._places if place.expires <= now]:
            self._pass(place)

    def _pass(self, place: _Place[Mark]) -> None:
        self._read = place.at
        while self._places and self._places[0].at <= place.at:
            self._places.popleft()
