"""Time comes from an injected clock, so that tests move it instead of sleeping."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

SOON = timedelta(seconds=0.1)
"""An answer that took longer is asked for again; by so little time does not go back."""

_TRIES = 5


class Clock(Protocol):
    """Tells the present moment."""

    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        return datetime.now(UTC)


def _steady() -> float:
    """Seconds that nobody sets, and that pass while the machine sleeps where it can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SharedClock:
    """The database's time: the same for all replicas, whatever their machines' clocks say.

    Between two looks at it a steady clock carries it on, so a machine's clock that is wrong or is
    moved has no effect. Until the first look it shows the machine's own time.
    """

    def __init__(self, own: Clock | None = None, *, steady: Callable[[], float] = _steady) -> None:
        """`own` is the machine's clock, `steady` counts seconds."""
        self._own = own or SystemClock()
        self._steady = steady
        self._known: tuple[datetime, float] | None = None
        self._last: datetime | None = None

    def now(self) -> datetime:
        """The present moment, aware and in UTC."""
        if self._known is None:
            return self._own.now()
        moment = self._known[0] + timedelta(seconds=self._steady() - self._known[1])
        if self._last is None or not timedelta(0) < self._last - moment < SOON:
            self._last = moment
        return self._last

    async def look(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Go by the time that `ask` gives; behind it by as long as the answer took, never ahead."""
        quickest = float("inf")
        for _ in range(_TRIES):
            asked = self._steady()
            moment, arrived = await ask(), self._steady()
            if arrived - asked < quickest:
                quickest = arrived - asked
                known = moment.astimezone(UTC), arrived
            if quickest < SOON.total_seconds():
                break
        self._known = known


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)) -> None:
        """Start at `start`, which must be aware."""
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The moment the clock was last set to."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump to `moment`, forwards or backwards."""
        self._now = moment.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        """Move on by `by`."""
        self._now += by
