"""When timers come due in the next seconds, in memory; the database is the truth."""

import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

AHEAD_SECONDS = 5.0
"""How far ahead is known."""

MOST = 1000
"""How many moments are kept; where there are more, one looks again when the last has passed."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Near:
    """One moment for each timer, and until when to rely on them."""

    def __init__(self, poll_seconds: float) -> None:
        """`poll_seconds`: for how long what others arm may go unnoticed."""
        self._poll_seconds = poll_seconds
        self._moments: deque[datetime] = deque()
        self._known = self._looked_at = _LONG_AGO
        self._again = 0.0

    def ask(self, now: datetime) -> datetime:
        """Up to when to look; what is armed from here on makes it stale again."""
        self._again = time.monotonic() + self._poll_seconds
        return now + timedelta(seconds=max(AHEAD_SECONDS, 2 * self._poll_seconds))

    def learn(self, moments: Iterable[datetime], now: datetime, until: datetime) -> None:
        """Take what was found, at most `MOST`, in a look at `now`."""
        self._moments = deque(moments)
        self._known = self._moments[-1] if len(self._moments) >= MOST else until
        self._looked_at = now

    def soon(self, seconds: float) -> None:
        """Look again no later than that."""
        self._again = min(self._again, time.monotonic() + seconds)

    def stale(self, now: datetime) -> bool:
        """Whether to look again: it is time, or the clock was moved."""
        return time.monotonic() >= self._again or not self._looked_at <= now < self._known

    @property
    def first(self) -> datetime | None:
        """The next moment."""
        return self._moments[0] if self._moments else None

    def passed(self, until: datetime) -> list[datetime]:
        """Forget the moments up to that one; which they were."""
        gone = []
        while self._moments and self._moments[0] <= until:
            gone.append(self._moments.popleft())
        return gone

    def pause(self, now: datetime) -> float:
        """Seconds to sleep."""
        ends = [self._known, *list(self._moments)[:1]]
        nearest = min((moment - now).total_seconds() for moment in ends)
        return max(min(nearest, self._again - time.monotonic()), 0.0)
