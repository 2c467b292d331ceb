"""Calendars that admins write: what may stand in one, and what a change of one leads to."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any

import holidays
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import RequestModel
from waybill_chassis.http.hours import MOST_DAYS, Exceptions, TimeZone, Weekday, Window, Windows
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Conflict, NotFound, check_version, invalid_field

from waybill_sla.domain.ledger import ALWAYS
from waybill_sla.redating import redate
from waybill_sla.store import calendars as store
from waybill_sla.store.calendars import Kept
from waybill_sla.store.redatings import Scope

_AGO, _AHEAD = 5, 20
"""For how many years before and after the writing the holidays of a country are taken down."""

_TWO_YEARS = timedelta(days=731)


class BuiltIn(Conflict):
    """The calendar without an end cannot be changed."""

    title = "Built in"


class AlreadyThere(Conflict):
    """There is a calendar of this name."""

    title = "Already there"


class InUse(Conflict):
    """A policy counts by this calendar."""

    title = "In use"


_Days = Annotated[tuple[date, ...], Field(max_length=MOST_DAYS)]


class Holidays(RequestModel):
    """Those of a country (ISO 3166), or of a part of it, and days of one's own."""

    country: Annotated[str, StringConstraints(max_length=2)] | None = None
    subdivision: Annotated[str, StringConstraints(max_length=40)] | None = None
    also: _Days = ()
    work_on: _Days = Field(default=(), alias="except")

    @model_validator(mode="after")
    def _known(self) -> "Holidays":
        if self.country is None:
            if self.subdivision is not None:
                raise _at("country", "is missing: whose subdivision is it?")
            return self
        parts = _countries().get(self.country)
        if parts is None:
            raise _at("country", "must be the code of a country with known holidays, such as DE")
        if self.subdivision is not None and self.subdivision not in parts:
            right = f"one of {', '.join(parts)}" if parts else f"left out: {self.country} has none"
            raise _at("subdivision", f"must be {right}")
        return self


def _at(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("calendar", "{message}", {"message": message, "path": (field,)})


@cache
def _countries() -> dict[str, list[str]]:
    return holidays.list_supported_countries()


def _some(hours: dict[Any, tuple[Window, ...]]) -> dict[Any, tuple[Window, ...]]:
    if not any(hours.values()):
        raise ValueError("must have a window on some day of the week, else nothing is ever due")
    return hours


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class CalendarBody(RequestModel):
    """What a calendar says; a day of the week that is left out is free."""

    time_zone: TimeZone
    hours: Annotated[dict[Weekday, Windows], AfterValidator(_some)]
    holidays: Holidays = Holidays()
    exceptions: Exceptions = ()

    def document(self) -> dict[str, Any]:
        """It as it is kept."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"name", "version"}
        )


class NewCalendar(CalendarBody):
    """A calendar with its name."""

    name: Name


@dataclass(frozen=True, slots=True)
class Written:
    """A document, and the holidays that it means now."""

    document: dict[str, Any]
    days_off: tuple[date, ...]


async def written(body: CalendarBody, now: datetime) -> Written:
    """What is kept of a body; a country's holidays take half a second, so a thread counts them."""
    days = await asyncio.to_thread(_days_off, body.holidays, now.year)
    return Written(body.document(), tuple(sorted(days)))


def _days_off(rule: Holidays, year: int) -> Iterable[date]:
    days: set[date] = set()
    if rule.country is not None:
        years = range(year - _AGO, year + _AHEAD + 1)
        days |= set(holidays.country_holidays(rule.country, rule.subdivision, years=years))
    return (days | set(rule.also)) - set(rule.work_on)


async def create(uow: UnitOfWork, name: str, what: Written, by: str) -> Kept:
    """A calendar that is new; one that was removed takes up where it was."""
    await store.change_alone(uow.connection)
    before = await store.calendar(uow.connection, name)
    if before is not None and not before.removed:
        raise AlreadyThere(f"There is a calendar {name} already: change it with PUT.")
    kept = Kept(
        before.id if before else new_id(),
        name,
        before.version + 1 if before else 1,
        False,
        before.created_at if before else uow.now,
        what.document,
        what.days_off,
        uow.now,
        by,
    )
    return await _put(uow, kept)


async def change(
    uow: UnitOfWork,
    name: str,
    what: Written,
    by: str,
    expected_version: int | None,
    *,
    open_too: bool = True,
) -> tuple[Kept, int]:
    """Another version of it, by which its open clocks are dated anew; how many these are."""
    await store.change_alone(uow.connection)
    before = await _changeable(uow, name, expected_version)
    if (before.document, before.days_off) == (what.document, what.days_off):
        return before, 0
    kept = await _put(
        uow,
        replace(
            before,
            version=before.version + 1,
            document=what.document,
            days_off=what.days_off,
            changed_at=uow.now,
            changed_by=by,
        ),
    )
    return kept, await redate(uow, Scope(calendar_id=kept.id), by) if open_too else 0


async def remove(uow: UnitOfWork, name: str, expected_version: int | None) -> None:
    """Take a calendar away that no policy uses."""
    await store.change_alone(uow.connection)
    await _changeable(uow, name, expected_version)
    if users := await store.calendar_users(uow.connection, name):
        raise InUse(
            f"The calendar {name} is used by the policies {', '.join(users)}: "
            "give them another one first.",
            policies=users,
        )
    await store.remove_calendar(uow.connection, name)


def unknown(name: str) -> NotFound:
    """There is none of this name."""
    return NotFound(f"There is no calendar {name}.")


async def _changeable(uow: UnitOfWork, name: str, expected_version: int | None) -> Kept:
    kept = await store.calendar(uow.connection, name)
    if kept is None or kept.removed:
        raise unknown(name)
    if kept.id == ALWAYS.id:
        raise BuiltIn(f"{name} is built in: write a calendar of another name.")
    check_version(expected_version, kept.version)
    return kept


async def _put(uow: UnitOfWork, kept: Kept) -> Kept:
    if kept.made().after(uow.now, timedelta(seconds=1)) - uow.now > _TWO_YEARS:
        raise invalid_field("hours", "must leave a working hour within two years")
    await store.put_calendar(uow.connection, kept)
    return kept
