"""How large a batch is, and which tickets are left out of it."""

import time
from uuid import UUID

LONG_SECONDS = 0.3
"""A batch that takes longer is followed by a smaller one."""

ASIDE_SECONDS = 30.0
"""How long a clock that could not be judged is left alone."""

PATIENCE_SECONDS = 1.0
"""How long a process may be silent in the middle of a batch before it counts as frozen."""

MOST_PATIENCE_SECONDS = 10.0
"""The same where the process is slow, because others keep it or its machine busy."""

_FEW = 20


class Size:
    """So many timers in a batch that it does not take long: others share processor and database."""

    def __init__(self, most: int) -> None:
        """At most so many."""
        self._limit = self.most = most
        self.patience = PATIENCE_SECONDS

    def fit(self, took: float) -> None:
        """After a batch that took so many seconds."""
        self.patience = min(max(PATIENCE_SECONDS, 5 * took), MOST_PATIENCE_SECONDS)
        if took > LONG_SECONDS:
            self.most = max(self.most // 2, min(_FEW, self._limit))
        elif took < LONG_SECONDS / 2:
            self.most = min(self.most * 2, self._limit)

    def halve(self) -> None:
        """After a batch that failed."""
        self.most = max(self.most // 2, 1)
        self.patience = min(3 * self.patience, MOST_PATIENCE_SECONDS)


class Aside:
    """Tickets whose clocks could not be judged: they are tried again, but not all the time."""

    def __init__(self) -> None:
        """None yet."""
        self._until: dict[UUID, float] = {}

    def put(self, ticket_id: UUID) -> None:
        """Leave it alone for a while."""
        self._until[ticket_id] = time.monotonic() + ASIDE_SECONDS

    def tickets(self) -> tuple[UUID, ...]:
        """Those that are to be left alone now."""
        now = time.monotonic()
        self._until = {id: until for id, until in self._until.items() if until > now}
        return tuple(self._until)
