"""Intervals by people's clocks, made of roll-ups in UTC."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waybill_chassis.periods import Interval, Period, divide, period, whole_ones
from waybill_chassis.problems import Invalid
from waybill_intake.domain.statistics import QUARTER
from waybill_intake.domain.statistics_periods import (
    FLOW_LEVELS,
    OTHER_LEVELS,
    TICKETS,
    bucket,
    cover,
    move,
)

quarters = st.integers(0, 4_000_000_000 // QUARTER).map(lambda n: n * QUARTER)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Beirut"]
).map(ZoneInfo)


@given(quarters, st.integers(1, 300_000), st.sampled_from([FLOW_LEVELS, OTHER_LEVELS]))
def test_a_span_is_covered_once_and_whole(start: int, length: int, levels: tuple[int, ...]) -> None:
    """Adjacent runs of whole buckets; only the edges are left to the tickets."""
    end = start + length * QUARTER
    runs = list(cover(start, end, levels))
    assert (runs[0].start, runs[-1].end) == (start, end)
    assert all(one.end == after.start for one, after in pairwise(runs))
    for run in runs:
        if run.level == TICKETS:
            assert levels == OTHER_LEVELS
            assert run.end - run.start < 2 * 86_400
        else:
            assert bucket(run.start, run.level) == run.start
            assert bucket(run.end, run.level) == run.end
    assert len(runs) <= 9


@given(quarters)
def test_a_mark_is_reached_from_the_nearest_day_in_few_steps(mark: int) -> None:
    """The steps make up for what it was moved by; each is of whole buckets of its level."""
    day, steps = move(mark, FLOW_LEVELS[1:])
    assert day % 86_400 == 0
    assert day + sum(one.sign * (one.run.end - one.run.start) for one in steps) == mark
    for one in steps:
        assert bucket(one.run.start, one.run.level) == one.run.start
        assert bucket(one.run.end, one.run.level) == one.run.end
    assert sum((one.run.end - one.run.start) // one.run.level for one in steps) <= 7


@given(quarters, st.integers(1, 60_000), zones, st.sampled_from(Interval))
def test_intervals_begin_when_clocks_say_so(
    start: int, length: int, zone: ZoneInfo, interval: Interval
) -> None:
    """They fill the period, none is empty, and all but the first begin at a whole one."""
    asked = Period(start, min(start + length * QUARTER, start + 700 * 3600), zone)
    marks = divide(asked, interval)
    assert (marks[0], marks[-1]) == (asked.start, asked.end)
    assert all(one < after for one, after in pairwise(marks))
    for mark in marks[1:-1]:
        local = datetime.fromtimestamp(mark, zone)
        assert local.minute == 0 or "Lord_Howe" in zone.key
        if interval is not Interval.HOUR:
            # Where midnight is skipped, the day begins at one.
            assert local.hour == 0 or (zone.key == "Asia/Beirut" and local.hour == 1)
        if interval is Interval.WEEK:
            assert local.weekday() == 0
        if interval is Interval.MONTH:
            assert local.day == 1


def test_a_day_is_as_long_as_the_clocks_make_it() -> None:
    """23 hours when they are put forward; a day that is cut off or goes on is not whole."""
    zone = ZoneInfo("Europe/Berlin")
    asked = period(
        datetime(2026, 3, 27, 23, 10, tzinfo=UTC), datetime(2026, 3, 30, 1, 1, tzinfo=UTC), zone
    )
    marks = divide(asked, Interval.DAY)
    assert [(after - one) / 3600 for one, after in pairwise(marks)] == [24, 23, 3.25]
    now = datetime(2026, 3, 29, 23, tzinfo=UTC)
    assert whole_ones(marks, asked, Interval.DAY, now) == [True, True, False]


def test_too_many_intervals_are_refused() -> None:
    """With the field that is wrong."""
    asked = Period(0, 10 * 365 * 86_400, ZoneInfo("UTC"))
    with pytest.raises(Invalid, match="interval"):
        divide(asked, Interval.DAY)
    assert len(divide(asked, Interval.WEEK)) < 600
