"""In what order waiting tickets are served by `smart`: least slack first, and nobody starves.

A ticket is *pressing* once what it has left is less than it may have to wait until somebody who
can have it is free again; these come first, the least slack before the rest. Everything else is
served by how long it has waited, what is overdue with less weight, for it is lost already while
others can still be saved. What has waited for many times its target comes before all.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from waybill_routing.domain.entities import Case
from waybill_routing.domain.strategies.asked import due

_LEAST_SECONDS = 1.0


class Band(IntEnum):
    """What kind of haste a ticket has; the higher one is served first."""

    CALM = 0
    OVERDUE = 1
    PRESSING = 2
    FORGOTTEN = 3


@dataclass(frozen=True, slots=True)
class Order:
    """The numbers of the order."""

    margin: float = 4.0
    """A ticket presses when it has no more left than so many gaps (see `haste`)."""
    overdue: float = 0.3
    """The waiting of an overdue ticket counts so much."""
    patience: float = 8.0
    """After so many times its target a ticket comes before all others."""


@dataclass(frozen=True, slots=True)
class Haste:
    """The higher the points, the sooner; `left` and `waited` are seconds."""

    points: float
    band: Band
    left: float | None
    waited: float

    def __str__(self) -> str:
        """In words."""
        if self.left is not None and self.left < 0:
            return f"{_span(-self.left)} overdue"
        if self.left is not None and self.band is Band.PRESSING:
            return f"only {_span(self.left)} left"
        return f"waited {_span(self.waited)}"


def haste(case: Case, gap: float, scale: float, now: datetime, order: Order) -> Haste:
    """How soon a ticket is to be served.

    `gap` is how many seconds pass on average until somebody who can have it is free; `scale`, the
    same for all, is what counts as a short wait. Points of pressing tickets are above 40, of
    forgotten ones above 80, so that bands never mix.
    """
    gap, scale = max(gap, _LEAST_SECONDS), max(scale, _LEAST_SECONDS)
    opened = case.ticket.opened_at or case.assignment.waiting_since or now
    waited = max((now - opened).total_seconds(), 0.0)
    wanted = due(case)
    left = None if wanted is None else (wanted - now).total_seconds()
    if left is not None and wanted is not None:
        target = max((wanted - opened).total_seconds(), _LEAST_SECONDS)
        if waited > order.patience * target:
            return Haste(
                80.0 + _calm(waited - order.patience * target, scale), Band.FORGOTTEN, left, waited
            )
        if 0 <= left < order.margin * gap:
            return Haste(40.0 + order.margin - left / gap, Band.PRESSING, left, waited)
        if left < 0:
            return Haste(_calm(order.overdue * waited, scale), Band.OVERDUE, left, waited)
    return Haste(_calm(waited, scale), Band.CALM, left, waited)


def _calm(waited: float, scale: float) -> float:
    return 2.0 * math.log1p(waited / scale)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
