"""A ticket's deadlines and ledger, and escalations."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin, person, request_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Limit,
    RequestModel,
    ResponseModel,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_sla import ledgers, usecases
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.lines import Beginning, Line, Terms
from waybill_sla.domain.words import (
    ClockState,
    Level,
    Priority,
    SegmentKind,
    Status,
    TargetKind,
    TargetState,
)
from waybill_sla.lookup import find
from waybill_sla.settings import Settings

_LEDGER = Cursor[ledgers.Place]("sla ledger", ledgers.Place)

LevelWord = StrEnum(  # type: ignore[misc]
    "LevelWord", {level.name: level.slug for level in Level if level is not Level.NONE}
)


class EscalationRequest(RequestModel):
    """An escalation by hand."""

    level: LevelWord
    comment: Annotated[str, Field(max_length=10_000)] = ""
    teams: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], ...],
        Field(max_length=10),
    ] = ()


class TargetView(ResponseModel):
    """One target as of now. In a pause `due_at` is where it stood when the pause began."""

    state: TargetState
    due_at: datetime
    allowed: timedelta
    elapsed: timedelta
    remaining: timedelta
    """Negative when it is overdue."""
    stopped_at: datetime | None
    breached_at: datetime | None
    warned_share: float


class TermsView(ResponseModel):
    """What the deadlines were dated by."""

    policy: str
    policy_version: int
    calendar: str
    calendar_version: int
    priority: Priority
    type: str


class SegmentView(ResponseModel):
    """A line of the ledger: a stretch in which nothing changed."""

    kind: SegmentKind
    status: Status
    started_at: datetime
    ended_at: datetime | None
    working_time: timedelta
    """By the calendar that counts now."""
    event_id: str
    """The event, request or task that began it."""
    began: Beginning
    """What that did: it opened or moved the ticket, or dated the clock anew."""
    terms: TermsView | None
    counts: dict[TargetKind, timedelta]
    """How much of it counts for which target: over all lines, what has elapsed of the target."""


class ClockView(ResponseModel):
    """A ticket's clock as of `as_of`, with a page of its ledger, oldest first."""

    ticket_id: UUID
    number: str
    priority: Priority
    policy_id: UUID | None
    policy_version: int
    state: ClockState
    started_at: datetime
    paused_since: datetime | None
    paused: timedelta
    response: TargetView | None
    resolution: TargetView | None
    next_response: TargetView | None
    update: TargetView | None
    escalation_level: str | None
    ledger: list[SegmentView]
    next_cursor: str | None
    """Where the ledger goes on."""
    as_of: datetime
    version: int


def router(rt: Runtime[Settings]) -> APIRouter:
    """Clocks."""
    routes = APIRouter(tags=["sla"])

    @routes.get("/v1/tickets/{id}/sla", response_model=ClockView)
    async def read_clock(
        id: str, caller: Caller, limit: Limit = 200, cursor: CursorParam = None
    ) -> Response:
        """A ticket's due times, what is left, and every stretch of its clock's life."""
        place = _LEDGER.decode(cursor)
        clock = await find(rt, id, caller)
        async with rt.database.reading() as connection:
            view = await view_of(connection, clock, rt.clock.now(), place=place, most=limit)
        return respond(view, version=clock.version)

    @routes.post("/v1/tickets/{id}/escalations", response_model=ClockView, status_code=201)
    async def escalate(
        id: str,
        body: EscalationRequest,
        caller: Annotated[Principal, require("agent", "service")],
        once: RunOnce,
    ) -> Response:
        """Escalate a ticket by hand; its level only rises until it is reopened."""
        clock = await find(rt, id, caller)

        async def effect(uow: UnitOfWork) -> Response:
            after = await usecases.escalate(
                uow,
                clock.ticket_id,
                level=Level[body.level.name],
                teams=body.teams,
                comment=body.comment,
                origin=Origin(person(caller), request_cause("POST /v1/tickets/{id}/escalations")),
            )
            view = await view_of(uow.connection, after, uow.now)
            return respond(view, status=201, version=after.version)

        return await once(effect)

    return routes


async def view_of(
    connection: AsyncConnection,
    clock: Clock,
    now: datetime,
    *,
    place: ledgers.Place | None = None,
    most: int = 200,
) -> ClockView:
    """The clock as REST shows it, with the lines of its ledger from a place on."""
    ticket = clock.ticket
    assert ticket is not None
    lines, following = await ledgers.page(connection, clock, now, place=place, most=most)
    targets = {target.kind: _target(clock, target, now) for target in clock.targets}
    return ClockView(
        ticket_id=clock.ticket_id,
        number=ticket.number,
        priority=ticket.priority,
        policy_id=clock.policy_id,
        policy_version=clock.policy_version,
        state=clock.state,
        started_at=clock.started_at,
        paused_since=clock.paused_since,
        paused=clock.stood_still,
        response=targets.get(TargetKind.RESPONSE),
        resolution=targets.get(TargetKind.RESOLUTION),
        next_response=targets.get(TargetKind.NEXT_RESPONSE),
        update=targets.get(TargetKind.UPDATE),
        escalation_level=_level(clock.level),
        ledger=[_line(line) for line in lines],
        next_cursor=_LEDGER.encode(following) if following else None,
        as_of=now,
        version=clock.version,
    )


def _line(line: Line) -> SegmentView:
    return SegmentView(
        kind=line.kind,
        status=line.status,
        started_at=line.started_at,
        ended_at=line.ended_at,
        working_time=line.working_time,
        event_id=line.event_id,
        began=line.began,
        terms=_terms(line.terms) if line.terms else None,
        counts=dict(line.counts),
    )


def _terms(terms: Terms) -> TermsView:
    dating = terms.dating
    return TermsView(
        policy=terms.policy,
        policy_version=dating.policy_version,
        calendar=terms.calendar,
        calendar_version=dating.calendar_version,
        priority=dating.priority,
        type=dating.type,
    )


def _target(clock: Clock, target: Target, now: datetime) -> TargetView:
    return TargetView(
        state=target.state,
        due_at=target.due_at,
        allowed=target.allowed,
        elapsed=clock.elapsed(target, now),
        remaining=clock.remaining(target, now),
        stopped_at=target.stopped_at,
        breached_at=target.breached_at,
        warned_share=target.warned_share,
    )


def _level(level: Level) -> str | None:
    return level.slug if level is not Level.NONE else None
