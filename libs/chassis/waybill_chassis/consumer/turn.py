"""One batch's turn: how long it may go on, and how it waits without losing its place."""

import asyncio
import random
from collections.abc import Awaitable, Callable

KEEP_ALIVE_SECONDS = 5.0
"""How often a waiting consumer tells the group that it still lives."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0


def pause_of(attempt: int) -> float:
    """Seconds before the next attempt, after the `attempt`-th (1, 2, ...) has failed."""
    bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10))
    return bound * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the load, keeps no secret


class Turn:
    """The right to work on one batch, until the partitions go elsewhere or the process stops."""

    def __init__(self, keep_alive: Callable[[], Awaitable[None]]) -> None:
        """`keep_alive` is called now and then while the turn waits."""
        self._over = asyncio.Event()
        self._keep_alive = keep_alive

    @property
    def over(self) -> bool:
        """Whether to leave the rest of the batch to whoever reads it next."""
        return self._over.is_set()

    def end(self) -> None:
        """Leave the rest of the batch; what is in a transaction now is finished."""
        self._over.set()

    async def pause(self, seconds: float) -> bool:
        """Wait so long; False, at once, if the turn is over."""
        while not self.over and seconds > 0:
            step = min(seconds, KEEP_ALIVE_SECONDS)
            try:
                await asyncio.wait_for(self._over.wait(), step)
            except TimeoutError:
                await self._keep_alive()
            seconds -= step
        return not self.over
