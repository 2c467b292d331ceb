"""Spans of time: which roll-ups cover one.

Roll-ups stand in UTC, by quarters of an hour, hours, quarters of a day, days and months. A span is
covered by the fewest of them, so that a day in Kolkata is made of three quarters of a day, five
hours and four quarters of an hour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from waybill_intake.domain.statistics import QUARTER

HOUR, QUARTER_DAY, DAY = 3600, 21_600, 86_400
MONTH = 31 * DAY
"""Stands for a month of the calendar, however long it is."""
TICKETS = 0
"""Stands for the tickets themselves, where no roll-up is fine enough."""
FLOW_LEVELS = (MONTH, DAY, QUARTER_DAY, HOUR, QUARTER)
OTHER_LEVELS = (MONTH, DAY)


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent roll-ups of one level: from `start` up to but without `end`."""

    level: int
    start: int
    end: int


def cover(start: int, end: int, levels: Sequence[int]) -> Iterator[Run]:
    """The fewest roll-ups of these levels, coarsest first, that make up a span.

    What none of them covers is left to the `TICKETS`.
    """
    if start >= end:
        return
    if not levels:
        yield Run(TICKETS, start, end)
        return
    level, finer = levels[0], levels[1:]
    first, last = _up(start, level), _down(end, level)
    if first >= last:
        yield from cover(start, end, finer)
        return
    yield from cover(start, first, finer)
    yield Run(level, first, last)
    yield from cover(last, end, finer)


@dataclass(frozen=True, slots=True)
class Step:
    """What lies between two moments; `sign` is 1 if it goes back in time from the first."""

    sign: int
    run: Run


def move(mark: int, levels: Sequence[int]) -> tuple[int, list[Step]]:
    """The bucket of the coarsest level (they come coarsest first) that begins nearest to a mark.

    With the steps from there to it by ever finer roll-ups: what happened before the mark is what
    happened before that bucket, each step added with its sign.
    """
    at, steps = mark, []
    for level, coarser in pairwise(reversed(levels)):
        near = (at + coarser // 2) // coarser * coarser
        if near != at:
            steps.append(Step(1 if near < at else -1, Run(level, min(near, at), max(near, at))))
        at = near
    return at, steps


def joined(runs: Sequence[Run]) -> list[Run]:
    """The same runs, those of a level that are adjacent made one."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda one: (one.level, one.start)):
        if found and (found[-1].level, found[-1].end) == (run.level, run.start):
            found.append(Run(run.level, found.pop().start, run.end))
        else:
            found.append(run)
    return found


def bucket(at: int, level: int) -> int:
    """Where the roll-up of a level begins that a second belongs to."""
    return _down(at, level)


def _down(at: int, level: int) -> int:
    if level != MONTH:
        return at - at % level
    moment = datetime.fromtimestamp(at, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())


def _up(at: int, level: int) -> int:
    down = _down(at, level)
    if down == at:
        return at
    return _down(down + (32 * DAY if level == MONTH else level), level)
