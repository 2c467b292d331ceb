"""How fast working time is counted, against the loop over days that everybody writes first.

    python bench/sla_calendar.py [--rounds 7] [--span 1095]

Questions over a span of three years (less than a day to all of it for `span`), each answered both
ways, in turns; the answers must be the same.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import holidays
from waybill_sla.domain.calendar import Plan, WorkingCalendar, shown

ZONE = "Europe/Berlin"
YEARS = range(2023, 2031)
OFFICE = ((9 * 3600, 12 * 3600), (13 * 3600, 17 * 3600 + 1800))
PLAN = Plan(
    ZONE,
    [OFFICE] * 5 + [()] * 2,
    holidays=frozenset(holidays.country_holidays("DE", subdiv="BY", years=YEARS)),
)
Ask = Callable[..., object]
START = datetime(2024, 1, 1, tzinfo=UTC)


def by_days(start: datetime, end: datetime) -> timedelta:
    """The working time, day by day."""
    zone, worked = ZoneInfo(ZONE), timedelta(0)
    day = start.astimezone(zone).date()
    while day <= end.astimezone(zone).date():
        for opens, closes in windows_of(day, zone):
            worked += max(min(closes, end) - max(opens, start), timedelta(0))
        day += timedelta(days=1)
    return worked


def after_by_days(start: datetime, working: timedelta) -> datetime:
    """The moment at which it has been worked, day by day."""
    zone = ZoneInfo(ZONE)
    day = start.astimezone(zone).date()
    while True:
        for opens, closes in windows_of(day, zone):
            begins = max(opens, start)
            if closes > begins:
                if working < closes - begins:
                    return begins + working
                working -= closes - begins
        day += timedelta(days=1)


def windows_of(day: date, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """A day's windows as moments."""
    midnight = datetime.combine(day, datetime.min.time())
    return [
        (shown(midnight + timedelta(seconds=a), zone), shown(midnight + timedelta(seconds=b), zone))
        for a, b in PLAN.hours(day)
    ]


def rate(ask: Ask, questions: Sequence[tuple[object, object]]) -> float:
    """Questions answered in a second."""
    began = time.perf_counter()
    for question in questions:
        ask(*question)
    return len(questions) / (time.perf_counter() - began)


def main() -> None:
    """Ask, and print a table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--span", type=int, default=1095, help="days")
    asked = options.parse_args()
    draw = random.Random(4)
    end = START + timedelta(days=asked.span)
    calendar = WorkingCalendar(UUID(int=1), 1, PLAN)
    began = time.perf_counter()
    total = calendar.working_time(START, end)
    print(f"the first answer, with its years worked out: {time.perf_counter() - began:.4f} s")
    jobs = {}
    for name, shortest in (("the whole span", 0.95), ("a third of it", 0.3), ("a week", 7.0)):
        pairs = []
        for _ in range(2000):
            length = 7.0 if shortest == 7.0 else shortest * asked.span
            first = START + timedelta(days=draw.uniform(0, asked.span - length))
            pairs.append((first, first + timedelta(days=length)))
        jobs[name] = pairs
    print(f"working time in {asked.span} days: {total}\n")
    print("| question | over | operations/s | day by day/s | ratio |")
    print("|---|---|---|---|---|")
    for name, pairs in jobs.items():
        few = pairs[:20]
        works = [(first, calendar.working_time(first, last)) for first, last in pairs]
        for first, last in few:
            assert calendar.working_time(first, last) == by_days(first, last)
        for first, working in works[:20]:
            assert calendar.after(first, working) == after_by_days(first, working)
        questions: list[tuple[str, Ask, Ask, Sequence[Any]]] = [
            ("working_time", calendar.working_time, by_days, pairs),
            ("after", calendar.after, after_by_days, works),
        ]
        for question, fast, slow, many in questions:
            rounds = [(rate(fast, many), rate(slow, many[:20])) for _ in range(asked.rounds)]
            ours, theirs = (statistics.median(side) for side in zip(*rounds, strict=True))
            ratio = statistics.median(a / b for a, b in rounds)
            print(f"| {question} | {name} | {ours:,.0f} | {theirs:,.1f} | {ratio:,.0f} |")


if __name__ == "__main__":
    main()
