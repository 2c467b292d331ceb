"""Spans of time: the intervals of a period in a time zone, and which roll-ups cover a span.

Roll-ups stand in UTC, by quarters of an hour, hours, quarters of a day, days and months. A span is
covered by the fewest of them, so that a day in Kolkata is made of three quarters of a day, five
hours and four quarters of an hour.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from math import ceil
from zoneinfo import ZoneInfo

from waybill_chassis.problems import invalid_field

from waybill_intake.domain.statistics import QUARTER

HOUR, QUARTER_DAY, DAY = 3600, 21_600, 86_400
MONTH = 31 * DAY
"""Stands for a month of the calendar, however long it is."""
TICKETS = 0
"""Stands for the tickets themselves, where no roll-up is fine enough."""
FLOW_LEVELS = (MONTH, DAY, QUARTER_DAY, HOUR, QUARTER)
OTHER_LEVELS = (MONTH, DAY)

MOST_INTERVALS = 800
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


class Interval(StrEnum):
    """How a period is divided."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LENGTHS = {Interval.HOUR: HOUR, Interval.DAY: DAY, Interval.WEEK: 7 * DAY, Interval.MONTH: MONTH}


@dataclass(frozen=True, slots=True)
class Period:
    """From a moment up to but without another one, both at whole quarters of an hour."""

    start: int
    end: int
    zone: ZoneInfo

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent roll-ups of one level: from `start` up to but without `end`."""

    level: int
    start: int
    end: int


def period(start: datetime, end: datetime, zone: ZoneInfo) -> Period:
    """The period in whole quarters of an hour: `start` rounded down, `end` up."""
    for name, moment in (("from", start), ("to", end)):
        if not EARLIEST <= moment <= LATEST:
            raise invalid_field(name, "must lie between 1970 and 2100")
    first = int(start.timestamp()) // QUARTER * QUARTER
    last = -(-ceil(end.timestamp()) // QUARTER) * QUARTER
    if start >= end:
        raise invalid_field("from", "must be before to")
    return Period(first, last, zone)


def divide(whole: Period, interval: Interval) -> list[int]:
    """Where its intervals begin, by the clocks of its zone, and where the last one ends.

    `Invalid` if they would be more than anybody can read.
    """
    if whole.seconds // _LENGTHS[interval] > MOST_INTERVALS:
        raise invalid_field(
            "interval", f"is too fine for this span: it would give more than {MOST_INTERVALS} parts"
        )
    marks = [whole.start]
    following = _hour_after if interval is Interval.HOUR else _day_after(interval)
    while (mark := following(marks[-1], whole.zone)) < whole.end:
        marks.append(mark)
    return [*marks, whole.end]


def whole_ones(
    marks: Sequence[int], whole: Period, interval: Interval, now: datetime
) -> list[bool]:
    """Which of the intervals between `marks` are over and not cut off by the period's ends."""
    following = _hour_after if interval is Interval.HOUR else _day_after(interval)

    def begins(at: int) -> bool:
        return following(at - QUARTER, whole.zone) == at

    return [
        begins(start) and begins(end) and end <= now.timestamp() for start, end in pairwise(marks)
    ]


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


def _hour_after(at: int, zone: ZoneInfo) -> int:
    later = at + HOUR
    local = datetime.fromtimestamp(later, zone)
    later -= local.minute * 60 + local.second
    return _whole(later if later > at else later + HOUR)


def _day_after(interval: Interval) -> Callable[[int, ZoneInfo], int]:
    def following(at: int, zone: ZoneInfo) -> int:
        day = datetime.fromtimestamp(at, zone).date()
        match interval:
            case Interval.WEEK:
                day += timedelta(days=7 - day.weekday())
            case Interval.MONTH:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            case _:
                day += timedelta(days=1)
        # Where midnight does not exist, the day begins when the clocks have moved on.
        found = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
        return _whole(found)

    return following


def _whole(at: int) -> int:
    return at - at % QUARTER
