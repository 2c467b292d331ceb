"""Working hours: windows by weekday in a time zone, holidays, and days with hours of their own.

A window's local times become moments by a wall clock that is never put back: a time that comes
twice is its first coming, a time that is left out is the moment of the jump. So windows that touch
never overlap and leave nothing out, and each has its true length: 01:00-03:00 takes three hours
when the hour after 02:00 comes twice, and one when it is left out.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

NO_TIME = timedelta()

DAY = 24 * 3600
"""The end of a day as an hour of it: 24:00, in seconds."""

_ONE_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)

Hours = tuple[tuple[int, int], ...]
"""The windows of a day: from and to as seconds of its wall clock, in their order, apart."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a version of a calendar says."""

    time_zone: str
    week: Sequence[Hours]
    """Monday's hours first."""
    holidays: Set[date] = frozenset()
    """Days without any hours."""
    exceptions: Mapping[date, Hours] = field(default_factory=dict)
    """Days with hours of their own, which count above all."""

    def hours(self, day: date) -> Hours:
        """When that day is worked."""
        if (own := self.exceptions.get(day)) is not None:
            return own
        return () if day in self.holidays else self.week[day.weekday()]


def plan_of(document: Mapping[str, Any], days_off: Iterable[date]) -> Plan:
    """The plan that a calendar's document means, with its holidays."""
    hours = document.get("hours") or {}
    return Plan(
        document["time_zone"],
        [_hours(hours.get(day) or ()) for day in WEEKDAYS],
        frozenset(days_off),
        {
            date.fromisoformat(one["date"]): _hours(one["hours"])
            for one in document.get("exceptions") or ()
        },
    )


def _hours(windows: Iterable[Mapping[str, str]]) -> Hours:
    return tuple(sorted((seconds(each["from"]), seconds(each["to"])) for each in windows))


def seconds(wall: str) -> int:
    """How many seconds of the day have passed when the wall clock shows `HH:MM`."""
    hour, minute = wall.split(":")
    return int(hour) * 3600 + int(minute) * 60


@dataclass(frozen=True, slots=True)
class _Year:
    """The windows of a year, with how much of it had been worked at the beginning of each."""

    begins: datetime
    ends: datetime
    opens: list[datetime]
    closes: list[datetime]
    before: list[timedelta]
    worked: timedelta

    def worked_at(self, moment: datetime) -> timedelta:
        """How much of the year had been worked at a moment of it."""
        at = bisect_right(self.opens, moment) - 1
        if at < 0:
            return NO_TIME
        return self.before[at] + (min(moment, self.closes[at]) - self.opens[at])


@dataclass(frozen=True)
class WorkingCalendar:
    """A version of a calendar. Two are the same if id and version are.

    Years are worked out when they are first asked for and kept, so that each question is a search
    in a year or two, however far apart its moments are.
    """

    id: UUID
    version: int
    plan: Plan = field(compare=False, repr=False)
    name: str = field(default="", compare=False)
    _years: dict[int, _Year] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone of its wall clock."""
        return ZoneInfo(self.plan.time_zone)

    def working_time(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` is worked."""
        if end <= start:
            return NO_TIME
        first, last = self._number(start), self._number(end)
        worked = self._year(last).worked_at(end) - self._year(first).worked_at(start)
        for number in range(first, last):
            worked += self._year(number).worked
        return worked

    def after(self, start: datetime, working: timedelta) -> datetime:
        """The last moment at which not more than `working` has been worked since `start`.

        What ends with the day is thus due when work begins again: until then no time passes. There
        must be hours in the week, else it would not end.
        """
        number = self._number(start)
        year = self._year(number)
        wanted = year.worked_at(start) + max(working, NO_TIME)
        while wanted >= year.worked:
            wanted -= year.worked
            number += 1
            year = self._year(number)
        at = bisect_right(year.before, wanted) - 1
        return year.opens[at] + (wanted - year.before[at])

    def windows(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches of the time from `start` to `end` that are worked, in their order."""
        if end <= start:
            return
        for number in range(self._number(start), self._number(end) + 1):
            year = self._year(number)
            for at in range(max(bisect_right(year.opens, start) - 1, 0), len(year.opens)):
                opens, closes = max(year.opens[at], start), min(year.closes[at], end)
                if opens >= end:
                    return
                if opens < closes:
                    yield opens, closes

    def _number(self, moment: datetime) -> int:
        """The year that a moment belongs to by the wall clock that is never put back."""
        number = moment.astimezone(UTC).year
        year = self._year(number)
        if moment < year.begins:
            return number - 1
        return number if moment < year.ends else number + 1

    def _year(self, number: int) -> _Year:
        found = self._years.get(number)
        if found is None:
            found = self._years[number] = self._worked_out(number)
        return found

    def _worked_out(self, number: int) -> _Year:
        opens: list[datetime] = []
        closes: list[datetime] = []
        zone, day = self.zone, date(number, 1, 1)
        begins = ends = shown(datetime.combine(day, time()), zone)
        while day.year == number:
            midnight, began = datetime.combine(day, time()), ends
            ends = shown(midnight + _ONE_DAY, zone)
            jumps = ends - began != _ONE_DAY
            for since, till in self.plan.hours(day):
                start, end = began + since * _SECOND, began + till * _SECOND
                if jumps:
                    start = shown(midnight + since * _SECOND, zone)
                    end = shown(midnight + till * _SECOND, zone)
                if closes and closes[-1] == start < end:
                    closes[-1] = end
                elif start < end:
                    opens.append(start)
                    closes.append(end)
            day += _ONE_DAY
        lengths = [end - start for start, end in zip(opens, closes, strict=True)]
        *before, worked = accumulate(lengths, initial=NO_TIME)
        return _Year(begins, ends, opens, closes, before, worked)


def shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which a wall clock in the zone shows `wall`, or has left it out."""
    local = wall.replace(tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # Somewhere between these two it jumps.
    early, late = local.replace(fold=1).astimezone(UTC), moment
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            early = middle
        else:
            late = middle
    return late
