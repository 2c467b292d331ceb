"""When an agent works: shifts by weekday in their time zone, absences, and who stands in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from waybill_chassis.working_time import WorkingCalendar, plan_of

_AHEAD = timedelta(days=366)
"""How far a shift is looked for; beyond that it is looked for again."""


@dataclass(frozen=True, slots=True)
class Absence:
    """An agent is not there from `begins` to `ends`, or until further notice."""

    begins: datetime
    ends: datetime | None = None
    reason: str = ""
    stand_in: UUID | None = None
    stand_in_email: str = field(default="", compare=False)

    def covers(self, moment: datetime) -> bool:
        """Whether they are away then."""
        return self.begins <= moment and (self.ends is None or moment < self.ends)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Shifts as REST takes them, None for always; absences are apart and in their order."""

    shifts: Mapping[str, Any] | None = None
    absences: tuple[Absence, ...] = ()


@dataclass(frozen=True, slots=True)
class Duty:
    """Whether somebody is on shift and not absent, who stands in, and until when that holds."""

    on: bool = True
    stand_in: UUID | None = None
    until: datetime | None = None


def duty(agent_id: UUID, schedule: Schedule, now: datetime) -> Duty:
    """What a schedule means at a moment; nobody stands in for one who is only off shift."""
    absent = next((one for one in schedule.absences if one.covers(now)), None)
    if absent is not None:
        return Duty(on=False, stand_in=absent.stand_in, until=absent.ends)
    away = min((one.begins for one in schedule.absences if one.begins > now), default=None)
    if schedule.shifts is None:
        return Duty(until=away)
    calendar = WorkingCalendar(agent_id, 0, plan_of(schedule.shifts, ()))
    opens, closes = next(calendar.windows(now, now + _AHEAD), (now + _AHEAD, now + _AHEAD))
    on = opens == now
    turns = closes if on else opens
    return Duty(on=on, until=turns if away is None else min(turns, away))
