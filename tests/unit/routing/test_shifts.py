"""When an agent works, by their own wall clock."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill_routing.domain import Absence, Duty, Schedule, duty

ANA, BEN = UUID(int=1), UUID(int=2)
OFFICE: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "hours": {"monday": [{"from": "09:00", "to": "17:00"}]},
    "exceptions": [{"date": "2026-01-12", "hours": []}],
}
NIGHT: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "hours": {
        "saturday": [{"from": "22:00", "to": "24:00"}],
        "sunday": [{"from": "00:00", "to": "06:00"}],
    },
}


def at(day: int, hour: int, minute: int = 0, *, month: int = 1) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shifts", "now", "on", "until"),
    [
        (None, at(5, 3), True, None),
        (OFFICE, at(5, 7, 59), False, at(5, 8)),
        (OFFICE, at(5, 8), True, at(5, 16)),
        (OFFICE, at(5, 16), False, at(19, 8)),  # the 12th is a day off
        (NIGHT, at(28, 23, month=3), True, at(29, 4, month=3)),  # a shift of seven hours
        (NIGHT, at(29, 4, month=3), False, at(4, 20, month=4)),
        ({"time_zone": "UTC", "hours": {}}, at(5, 8), False, at(5, 8) + timedelta(days=366)),
    ],
)
def test_a_shift_begins_and_ends_to_the_second(
    shifts: dict[str, Any] | None, now: datetime, on: bool, until: datetime | None
) -> None:
    """In the agent's time zone, over midnight and the turn of the clocks."""
    assert duty(ANA, Schedule(shifts), now) == Duty(on=on, until=until)


def test_an_absence_counts_above_the_shifts_and_names_who_stands_in() -> None:
    """Nobody stands in before and after it."""
    absent = Absence(at(5, 12), at(5, 14), "dentist", BEN)
    schedule = Schedule(OFFICE, (absent,))
    assert duty(ANA, schedule, at(5, 11)) == Duty(on=True, until=at(5, 12))
    assert duty(ANA, schedule, at(5, 12)) == Duty(on=False, stand_in=BEN, until=at(5, 14))
    assert duty(ANA, schedule, at(5, 14)) == Duty(on=True, until=at(5, 16))
    gone = Schedule(None, (Absence(at(5, 12)),))
    assert duty(ANA, gone, at(6, 12)) == Duty(on=False)
