"""A ticket's deadlines and ledger, and escalations."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin, person, request_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    RequestModel,
    ResponseModel,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_sla import store, usecases
from waybill_sla.domain import ledger
from waybill_sla.domain.clock import Clock, Target
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


class SegmentView(ResponseModel):
    """A line of the ledger."""

    kind: SegmentKind
    status: Status
    started_at: datetime
    ended_at: datetime | None
    working_time: timedelta
    event_id: str


class ClockView(ResponseModel):
    """A ticket's clock as of `as_of`, with its whole ledger."""

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
    as_of: datetime
    version: int


def router(rt: Runtime[Settings]) -> APIRouter:
    """Clocks."""
    routes = APIRouter(tags=["sla"])

    @routes.get("/v1/tickets/{id}/sla", response_model=ClockView)
    async def read_clock(id: str, caller: Caller) -> Response:
        """A ticket's due times, what is left, and every stretch of its clock's life."""
        clock = await find(rt, id, caller)
        async with rt.database.reading() as connection:
            clock = (await store.whole(connection, [clock]))[clock.ticket_id]
        return respond(view_of(clock, rt.clock.now()), version=clock.version)

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
            after = (await store.whole(uow.connection, [after]))[after.ticket_id]
            return respond(view_of(after, uow.now), status=201, version=after.version)

        return await once(effect)

    return routes


def view_of(clock: Clock, now: datetime) -> ClockView:
    """The clock as REST shows it."""
    ticket = clock.ticket
    assert ticket is not None
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
        ledger=[
            SegmentView.model_validate(line)
            for line in ledger.lines(clock.segments, now, clock.calendar)
        ],
        as_of=now,
        version=clock.version,
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
