"""Bodies that say when people work: windows by weekday in a time zone, and days of their own."""

import re
from datetime import date
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from waybill_chassis.validation import RequestModel
from waybill_chassis.working_time import WEEKDAYS, seconds

MOST_DAYS = 1000

Weekday = StrEnum("Weekday", {day.upper(): day for day in WEEKDAYS})  # type: ignore[misc]

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _time(wall: str) -> str:
    if not _CLOCK.fullmatch(wall):
        raise ValueError("must be a time such as 09:00, or 24:00 for the end of the day")
    return wall


_Time = Annotated[str, AfterValidator(_time), Field(examples=["09:00"])]


class Window(RequestModel):
    """Hours within a day, `24:00` being its end."""

    begin: _Time = Field(alias="from")
    end: _Time = Field(alias="to")

    @model_validator(mode="after")
    def _forward(self) -> "Window":
        if seconds(self.begin) >= seconds(self.end):
            raise ValueError(
                f"must end after it begins, not {self.begin}-{self.end}; "
                "hours over midnight are two windows, to 24:00 and from 00:00"
            )
        return self


def _apart(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    ordered = sorted(windows, key=lambda window: seconds(window.begin))
    for one, two in pairwise(ordered):
        if seconds(two.begin) < seconds(one.end):
            raise ValueError(
                f"must be windows apart, but {one.begin}-{one.end} and {two.begin}-{two.end} "
                "overlap"
            )
    return windows


Windows = Annotated[tuple[Window, ...], Field(max_length=48), AfterValidator(_apart)]
"""The hours of a day, apart from one another."""


class DayHours(RequestModel):
    """A day with hours of its own, which may be none."""

    date: date
    hours: Windows


def _once(days: tuple[DayHours, ...]) -> tuple[DayHours, ...]:
    seen: set[date] = set()
    for position, day in enumerate(days):
        if day.date in seen:
            raise PydanticCustomError(
                "calendar",
                "{message}",
                {
                    "message": f"comes twice, {day.date}: put its hours in one",
                    "path": (str(position), "date"),
                },
            )
        seen.add(day.date)
    return days


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Exceptions = Annotated[tuple[DayHours, ...], Field(max_length=MOST_DAYS), AfterValidator(_once)]
