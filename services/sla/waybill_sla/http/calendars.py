"""`/v1/sla/calendars`, and `/v1/sla/redating`."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    Instant,
    Limit,
    Page,
    RequiredVersion,
    ResponseModel,
    RunOnce,
    respond,
)
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime

from waybill_sla import calendars
from waybill_sla.calendars import CalendarBody, NewCalendar, unknown
from waybill_sla.domain.calendar import WEEKDAYS
from waybill_sla.domain.ledger import ALWAYS
from waybill_sla.http.callers import Admin, Name, Reader
from waybill_sla.settings import Settings
from waybill_sla.store import calendars as kept_calendars
from waybill_sla.store import redatings
from waybill_sla.store.calendars import Kept

PATH = "/v1/sla/calendars"

_NAMES = Cursor[str]("sla calendars", str)
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


def router(rt: Runtime[Settings]) -> APIRouter:
    """Calendars, what they mean, and how far their changes have come."""
    routes = APIRouter(tags=["calendars"])

    @routes.get(PATH, response_model=Page[CalendarView])
    async def list_calendars(
        _caller: Reader, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """All calendars, by name."""
        async with rt.database.reading() as connection:
            found = await kept_calendars.calendars(
                connection, after=_NAMES.decode(cursor), most=limit + 1
            )
        return respond(_NAMES.page(found, limit, position=lambda kept: kept.name, item=shown))

    @routes.post(PATH, response_model=CalendarView, status_code=201)
    async def create_calendar(
        body: NewCalendar, caller: Admin, once: RunOnce, dry_run: DryRun = False
    ) -> Response:
        """A new calendar: from now on policies may name it."""
        what = await calendars.written(body, rt.clock.now())

        async def effect(uow: UnitOfWork) -> Response:
            kept = await calendars.create(uow, body.name, what, caller.known_as)
            return respond(
                shown(kept),
                status=201,
                version=kept.version,
                headers={"Location": f"{PATH}/{kept.name}"},
            )

        return await once(effect, keep=not dry_run)

    @routes.get(PATH + "/{calendar}", response_model=CalendarView)
    async def read_calendar(_caller: Reader, calendar: Name) -> Response:
        """A calendar, with the version to send as `If-Match`."""
        kept = await _found(rt, calendar)
        return respond(shown(kept), version=kept.version)

    @routes.put(PATH + "/{calendar}", response_model=CalendarView)
    async def change_calendar(
        calendar: Name,
        body: CalendarBody,
        caller: Admin,
        version: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Replace what it says; what is open and counts by it is dated anew in the background."""
        what = await calendars.written(body, rt.clock.now())
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            kept, concerned = await calendars.change(uow, calendar, what, caller.known_as, version)
        return respond(shown(kept, concerned), version=kept.version)

    @routes.delete(PATH + "/{calendar}", status_code=204)
    async def remove_calendar(
        _caller: Admin, calendar: Name, version: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """Take it away, if no policy uses it."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await calendars.remove(uow, calendar, version)
        return Response(status_code=204)

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
        made = (await _found(rt, calendar)).made()
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


async def _found(rt: Runtime[Settings], name: str) -> Kept:
    async with rt.database.reading() as connection:
        kept = await kept_calendars.calendar(connection, name)
    if kept is None or kept.removed:
        raise unknown(name)
    return kept
