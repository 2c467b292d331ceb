"""Periods that people ask reports for, and their division into intervals by people's clocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from math import ceil
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from waybill_chassis.problems import invalid_field

QUARTER = 900
"""Seconds: periods begin and end at whole quarters of an hour, in UTC."""

DEFAULT_SPAN = timedelta(days=30)
MOST_INTERVALS = 800
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_HOUR, _DAY = 3600, 86_400


class Interval(StrEnum):
    """How a period is divided."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LENGTHS = {
    Interval.HOUR: _HOUR,
    Interval.DAY: _DAY,
    Interval.WEEK: 7 * _DAY,
    Interval.MONTH: 31 * _DAY,
}


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


def asked_period(
    start: datetime | None, end: datetime | None, timezone: str, now: datetime
) -> Period:
    """The period that is asked for: by default the 30 days up to its end, and that is now."""
    until = end or min(max(now, EARLIEST), LATEST)
    if not EARLIEST <= until <= LATEST:
        raise invalid_field("to", "must lie between 1970 and 2100")
    since = start or max(until - DEFAULT_SPAN, EARLIEST)
    return period(since, until, zone_of(timezone))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; `Invalid` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid_field(
            "timezone", "must be a time zone of the IANA database, such as Europe/Berlin"
        ) from None


def _hour_after(at: int, zone: ZoneInfo) -> int:
    later = at + _HOUR
    local = datetime.fromtimestamp(later, zone)
    later -= local.minute * 60 + local.second
    return _whole(later if later > at else later + _HOUR)


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
