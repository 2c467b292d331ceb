"""Working time is exact, whatever the clocks on the walls do."""

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import accumulate, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from waybill_chassis.working_time import DAY, Hours, Plan, WorkingCalendar

# With jumps at 00:00, 01:00, 02:00 and 03:00, by 30 minutes, twice a year and four times, a day
# that was left out, and some that do not jump.
ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
]
FIRST, LAST = 2018, 2028
MINUTE, HOUR, SECOND = timedelta(minutes=1), timedelta(hours=1), timedelta(seconds=1)
NONE = timedelta(0)
LONG_AGO = datetime.combine(date.min, time())


def at(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def hours(*windows: str) -> Hours:
    return tuple((at(each[:5]), at(each[6:])) for each in windows)


OFFICE = [hours("09:00-12:00", "13:00-17:30")] * 5 + [hours()] * 2
NIGHTS = [hours("00:00-00:20", "01:00-03:00", "03:40-04:10", "23:15-24:00")] * 7
EARLY = [hours("00:10-01:40", "02:15-02:45", "02:50-03:05")] * 7
WHOLE = [hours("00:00-24:00")] * 7
TOUCHING = [hours("00:00-02:30", "02:30-02:45", "02:45-24:00")] * 7


def calendar(zone: str, week: list[Hours], version: int = 1, **more: object) -> WorkingCalendar:
    return WorkingCalendar(UUID(int=9), version, Plan(zone, week, **more))


@cache
def jumps(zone: str) -> list[datetime]:
    """The hours in which the zone's clocks jump."""
    tz = ZoneInfo(zone)
    moments = [datetime(FIRST, 1, 1, tzinfo=UTC)]
    while moments[-1].year < LAST:
        moments.append(moments[-1] + HOUR)
    offsets = [moment.astimezone(tz).utcoffset() for moment in moments]
    return [
        moment
        for moment, (before, after) in zip(moments, pairwise(offsets), strict=False)
        if before != after
    ]


class Minutes:
    """Minute by minute: worked or not, by a wall clock that is never put back."""

    def __init__(self, zone: str, plan: Plan, start: datetime, days: int) -> None:
        tz = ZoneInfo(zone)
        self.start = start
        wall = LONG_AGO
        worked = []
        for minute in range(-3 * 1440, days * 1440):
            wall = max(wall, (start + minute * MINUTE).astimezone(tz).replace(tzinfo=None))
            second = wall.hour * 3600 + wall.minute * 60
            if minute >= 0:
                worked.append(any(a <= second < b for a, b in plan.hours(wall.date())))
        self.before = list(accumulate(worked, initial=0))

    def working_time(self, start: int, end: int) -> timedelta:
        return (self.before[end] - self.before[start]) * MINUTE

    def after(self, start: int, working: int) -> datetime | None:
        """None when it is not within these days."""
        minute = bisect_right(self.before, self.before[start] + working) - 1
        return self.start + minute * MINUTE if minute < len(self.before) - 1 else None


def test_there_are_jumps_to_test_with() -> None:
    """Enough zones whose clocks jump in these ten years."""
    assert sum(len(jumps(zone)) >= 2 for zone in ZONES) >= 20
    assert sum(len(jumps(zone)) for zone in ZONES) > 300


@pytest.mark.parametrize("zone", ZONES)
def test_around_every_jump_it_is_what_the_minutes_say(zone: str) -> None:
    """Ten years of jumps, windows at the worst of times, against a look at each minute."""
    for number, jump in enumerate(jumps(zone)):
        week = (NIGHTS, EARLY, WHOLE, TOUCHING)[number % 4]
        start = jump.replace(minute=0) - 30 * HOUR
        days = 3
        ours, slow = calendar(zone, week), Minutes(zone, Plan(zone, week), start, days)
        for first in range(0, days * 1440, 293):
            for last in range(first, days * 1440, 307):
                told = ours.working_time(start + first * MINUTE, start + last * MINUTE)
                assert told == slow.working_time(first, last), (zone, jump, first, last)
            for working in range(0, 2000, 411):
                moment = slow.after(first, working)
                if moment is not None:
                    told_at = ours.after(start + first * MINUTE, working * MINUTE)
                    assert told_at == moment, (zone, jump, first, working)


@pytest.mark.parametrize(
    ("day", "week", "true"),
    [
        (date(2026, 3, 29), "01:00-03:00", HOUR),
        (date(2026, 10, 25), "01:00-03:00", 3 * HOUR),
        (date(2026, 3, 29), "02:10-02:50", NONE),
        (date(2026, 10, 25), "02:10-02:50", 40 * MINUTE),
        (date(2026, 3, 29), "02:30-04:00", HOUR),
        (date(2026, 10, 25), "02:30-04:00", 2 * HOUR + 30 * MINUTE),
        (date(2026, 3, 29), "00:00-24:00", 23 * HOUR),
        (date(2026, 10, 25), "00:00-24:00", 25 * HOUR),
        (date(2026, 7, 1), "00:00-24:00", 24 * HOUR),
    ],
)
def test_a_window_has_its_true_length(day: date, week: str, true: timedelta) -> None:
    """In Berlin the hour after two is left out in March and comes twice in October."""
    ours = calendar("Europe/Berlin", [hours()] * 7, exceptions={day: hours(week)})
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert ours.working_time(noon - 48 * HOUR, noon + 48 * HOUR) == true


def test_holidays_are_not_worked_and_a_days_own_hours_count_above_all() -> None:
    """A holiday with an exception has the exception's hours."""
    ours = calendar(
        "Europe/Berlin",
        OFFICE,
        holidays=frozenset({date(2026, 12, 24), date(2026, 12, 25)}),
        exceptions={date(2026, 12, 24): hours("09:00-11:00"), date(2026, 12, 28): hours()},
    )
    start = datetime(2026, 12, 23, 15, 30, tzinfo=UTC)
    assert list(ours.windows(start, datetime(2026, 12, 29, 9, tzinfo=UTC))) == [
        (start, datetime(2026, 12, 23, 16, 30, tzinfo=UTC)),
        (datetime(2026, 12, 24, 8, tzinfo=UTC), datetime(2026, 12, 24, 10, tzinfo=UTC)),
        (datetime(2026, 12, 29, 8, tzinfo=UTC), datetime(2026, 12, 29, 9, tzinfo=UTC)),
    ]
    assert ours.after(start, 4 * HOUR) == datetime(2026, 12, 29, 9, tzinfo=UTC)


def test_what_ends_with_the_day_is_due_when_work_begins_again() -> None:
    """Until then not a second more is used up."""
    ours = calendar("Europe/Berlin", OFFICE)
    friday = datetime(2026, 1, 9, 8, tzinfo=UTC)
    assert ours.after(friday, timedelta(hours=7, minutes=30)) == friday + 72 * HOUR


@cache
def kept(zone: str, week: tuple[Hours, ...], off: frozenset[date]) -> WorkingCalendar:
    return calendar(zone, list(week), holidays=off)


@st.composite
def days(draw: st.DrawFn) -> Hours:
    """Up to four windows, apart, to the second."""
    bounds = sorted(draw(st.sets(st.integers(0, DAY), max_size=8)))
    return tuple(zip(bounds[::2], bounds[1::2], strict=False))


WEEKS = st.tuples(*[days()] * 7).filter(any) | st.sampled_from(
    [tuple(week) for week in (OFFICE, NIGHTS, EARLY, WHOLE, TOUCHING)]
)
CALENDARS = st.builds(
    kept,
    st.sampled_from(ZONES),
    WEEKS,
    st.frozensets(st.dates(date(FIRST, 1, 1), date(LAST, 1, 1)), max_size=5),
)
MOMENTS = st.integers(0, 3653 * 86400 * 10**6).map(
    lambda passed: datetime(FIRST, 1, 1, tzinfo=UTC) + timedelta(microseconds=passed)
)


@given(CALENDARS, MOMENTS, MOMENTS, MOMENTS)
@settings(max_examples=200, deadline=None)
def test_working_time_adds_up_and_never_shrinks(
    ours: WorkingCalendar, one: datetime, two: datetime, three: datetime
) -> None:
    """It is that of the portions, none longer than the time itself; backwards it is nothing."""
    a, b, c = sorted((one, two, three))
    assert ours.working_time(a, c) == ours.working_time(a, b) + ours.working_time(b, c)
    assert NONE <= ours.working_time(a, b) <= min(ours.working_time(a, c), b - a)
    assert ours.working_time(c, a) == NONE
    assert ours.working_time(a, b) == sum((y - x for x, y in ours.windows(a, b)), NONE)


@given(CALENDARS, MOMENTS, st.timedeltas(NONE, timedelta(days=30)))
@settings(max_examples=200, deadline=None)
def test_after_undoes_working_time(
    ours: WorkingCalendar, start: datetime, working: timedelta
) -> None:
    """After so much work exactly so much has been worked, and a moment later more."""
    assume(sum((b - a for day in ours.plan.week for a, b in day), 0) >= 1800)
    moment = ours.after(start, working)
    assert moment >= start
    assert ours.working_time(start, moment) == working
    assert ours.working_time(start, moment + timedelta(microseconds=1)) > working


@given(CALENDARS, MOMENTS, MOMENTS)
@settings(max_examples=200, deadline=None)
def test_working_time_undoes_after(ours: WorkingCalendar, one: datetime, two: datetime) -> None:
    """After the work of a stretch comes its end, or the last moment until which nobody works."""
    start, end = sorted((one, two))
    moment = ours.after(start, ours.working_time(start, end))
    assert moment >= end
    assert ours.working_time(end, moment) == NONE
    assert ours.working_time(start, moment) == ours.working_time(start, end)


@given(
    CALENDARS,
    MOMENTS,
    st.timedeltas(NONE, timedelta(days=10)),
    st.timedeltas(NONE, timedelta(days=10)),
)
@settings(max_examples=200, deadline=None)
def test_after_adds_up_and_never_goes_back(
    ours: WorkingCalendar, start: datetime, one: timedelta, two: timedelta
) -> None:
    """In two portions it is the same moment as at once; more work never ends earlier."""
    assume(sum((b - a for day in ours.plan.week for a, b in day), 0) >= 1800)
    assert ours.after(ours.after(start, one), two) == ours.after(start, one + two)
    assert ours.after(start, one) <= ours.after(start, one + two)
    assert ours.after(start, one) <= ours.after(start + two, one)


@given(CALENDARS, st.integers(0, 10**6), st.integers(0, 3 * 86400), st.integers(0, 12 * 3600))
@settings(max_examples=40, deadline=None)
def test_to_the_second_it_is_what_the_seconds_say(
    ours: WorkingCalendar, which: int, since: int, lasting: int
) -> None:
    """Within three days of a jump, windows to the second, against a look at each second."""
    zone = ours.plan.time_zone
    here = jumps(zone) or [datetime(2024, 2, 28, tzinfo=UTC)]
    start = here[which % len(here)] - timedelta(days=1, hours=12)
    first, last = start + since * SECOND, start + (since + lasting) * SECOND
    tz, wall, worked = ZoneInfo(zone), LONG_AGO, 0
    begin = first - timedelta(hours=3)
    for second in range(int((last - begin) / SECOND)):
        moment = begin + second * SECOND
        wall = max(wall, moment.astimezone(tz).replace(tzinfo=None))
        if moment >= first:
            at_wall = wall.hour * 3600 + wall.minute * 60 + wall.second
            worked += any(a <= at_wall < b for a, b in ours.plan.hours(wall.date()))
    assert ours.working_time(first, last) == worked * SECOND
