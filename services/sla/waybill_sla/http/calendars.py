"""`/v1/sla/calendars`, and `/v1/sla/redating`."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    Instant,
    Limit,
    Page,
    ResponseModel,
    respond,
)
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime

from waybill_sla import calendars
from waybill_sla.calendars import CalendarBody, NewCalendar, Written, unknown
from waybill_sla.domain.calendar import WEEKDAYS
from waybill_sla.domain.ledger import ALWAYS
from waybill_sla.http.callers import Name, Reader
from waybill_sla.http.named import Change, Kind, add_routes
from waybill_sla.settings import Settings
from waybill_sla.store import calendars as kept_calendars
from waybill_sla.store import redatings
from waybill_sla.store.calendars import Kept

PATH = "/v1/sla/calendars"

_TASKS = Cursor[UUID]("sla redating", UUID)
_LONGEST = timedelta(days=400)
_WHOLE_WEEK = {day: [{"from": "00:00", "to": "24:00"}] for day in WEEKDAYS}


class CalendarView(ResponseModel):
    """A calendar as it stands. `redating`: so many open clocks are dated anew by this change."""

    id: UUID
    name: str
    version: int
    time_zone: str
    hours: dict[str, list[dict[str, str]]]
    holidays: dict[str, Any]
    exceptions: list[dict[str, Any]]
    created_at: Instant
    changed_at: Instant
    changed_by: str
    redating: int | None = None


class WindowView(ResponseModel):
    """A stretch that is worked."""

    opens_at: Instant
    closes_at: Instant


class PreviewView(ResponseModel):
    """What a calendar means in a stretch of time."""

    windows: list[WindowView]
    working_time: timedelta


class RedatingView(ResponseModel):
    """Open clocks that are gone through for a calendar, policy or ladder: `done` of `total`."""

    id: UUID
    calendar: str | None
    policy: str | None
    ladder: str | None
    total: int
    done: int
    started_at: Instant
    started_by: str
    ended_at: Instant | None


def shown(kept: Kept, redating: int | None = None) -> CalendarView:
    """A calendar as REST shows it."""
    document = kept.document
    return CalendarView(
        id=kept.id,
        name=kept.name,
        version=kept.version,
        time_zone=document["time_zone"],
        hours=_WHOLE_WEEK if kept.id == ALWAYS.id else document["hours"],
        holidays=document.get("holidays", {}),
        exceptions=document.get("exceptions", []),
        created_at=kept.created_at,
        changed_at=kept.changed_at,
        changed_by=kept.changed_by,
        redating=redating,
    )


async def _calendars(
    connection: AsyncConnection, _caller: Principal, after: str | None, most: int
) -> list[CalendarView]:
    """All calendars, by name."""
    found = await kept_calendars.calendars(connection, after=after, most=most)
    return [shown(kept) for kept in found]


async def _read(connection: AsyncConnection, _caller: Principal, name: str) -> CalendarView:
    """A calendar, with the version to send as `If-Match`."""
    return shown(await _found(connection, name))


async def _create(uow: UnitOfWork, body: NewCalendar, what: Written, to: Change) -> CalendarView:
    """A new calendar: from now on policies may name it."""
    return shown(await calendars.create(uow, body.name, what, to.by))


async def _change(
    uow: UnitOfWork, name: str, _body: CalendarBody, what: Written, to: Change
) -> CalendarView:
    """Replace what it says; what is open and counts by it is dated anew in the background."""
    return shown(*await calendars.change(uow, name, what, to.by, to.version))


async def _remove(uow: UnitOfWork, name: str, to: Change) -> None:
    """Take it away, if no policy uses it."""
    await calendars.remove(uow, name, to.version)


CALENDARS = Kind(
    path=PATH,
    one="calendar",
    many="calendars",
    new=NewCalendar,
    body=CalendarBody,
    view=CalendarView,
    page=_calendars,
    read=_read,
    create=_create,
    change=_change,
    remove=_remove,
)


def router(rt: Runtime[Settings]) -> APIRouter:
    """Calendars, what they mean, and how far their changes have come."""
    routes = APIRouter(tags=["calendars"])

    async def written(body: CalendarBody) -> Written:
        return await calendars.written(body, rt.clock.now())

    add_routes(routes, rt, replace(CALENDARS, prepare=written))

    @routes.get(PATH + "/{calendar}/preview", response_model=PreviewView)
    async def preview_calendar(
        _caller: Reader,
        calendar: Name,
        since: Annotated[Instant, Query(alias="from")],
        until: Annotated[Instant, Query(alias="to")],
    ) -> Response:
        """When people work by it, for up to 400 days."""
        if not 1970 < since.year < 2200:
            raise invalid_field("from", "must be a year after 1970 and before 2200")
        if not timedelta(0) < until - since <= _LONGEST:
            raise invalid_field("to", f"must be after from, by {_LONGEST.days} days at most")
        async with rt.database.reading() as connection:
            made = (await _found(connection, calendar)).made()
        return respond(
            PreviewView(
                windows=[
                    WindowView(opens_at=opens, closes_at=closes)
                    for opens, closes in made.windows(since, until)
                ],
                working_time=made.working_time(since, until),
            )
        )

    @routes.get("/v1/sla/redating", response_model=Page[RedatingView])
    async def list_redating(
        _caller: Reader, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """Which open clocks are or were dated anew, and how far that has come; newest first."""
        async with rt.database.reading() as connection:
            found = await redatings.redatings(
                connection, before=_TASKS.decode(cursor), most=limit + 1
            )
        return respond(
            _TASKS.page(
                found,
                limit,
                position=lambda task: task.id,
                item=RedatingView.model_validate,
            )
        )

    return routes


async def _found(connection: AsyncConnection, name: str) -> Kept:
    kept = await kept_calendars.calendar(connection, name)
    if kept is None or kept.removed:
        raise unknown(name)
    return kept
