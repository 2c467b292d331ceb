"""`GET /v1/sla/at-risk`: a list, and the same live as server-sent events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response
from waybill_chassis.http import Cursor, Page, ResponseModel, respond, sse
from waybill_chassis.http.sse import LastEventId, ServerEvent
from waybill_chassis.problems import Invalid
from waybill_chassis.service import Runtime

from waybill_sla.domain.watching import Scope
from waybill_sla.domain.words import Level, Priority, TargetKind, TargetState
from waybill_sla.http.callers import Reader
from waybill_sla.http.narrowing import TargetFilter
from waybill_sla.settings import Settings
from waybill_sla.store import watching as store
from waybill_sla.watching import Beginning, Current, Place, Shown, Told, Watch, left

_LIST = Cursor[store.Place]("sla at risk", store.Place)
_STREAM = Cursor[Place]("sla at risk, live", Place)


class AtRiskQuery(TargetFilter):
    """Which targets, and which page of them."""

    limit: int = Field(50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(
        None, max_length=1024, description="`next_cursor` of the page before."
    )


class AtRiskView(ResponseModel):
    """A target at risk; in the stream also one that ceased to be, with what it is now."""

    ticket_id: UUID
    number: str
    product: str
    type: str
    priority: Priority
    target: TargetKind
    state: TargetState
    due_at: datetime
    remaining: timedelta
    """The working time that is left; negative when it is overdue."""
    warned_share: float
    escalation_level: str | None
    team: str | None
    agent: str | None


def router(rt: Runtime[Settings]) -> APIRouter:
    """Watching."""
    routes = APIRouter(tags=["sla"])
    watch = Watch(rt.database, rt.clock)

    @routes.get(
        "/v1/sla/at-risk",
        response_model=Page[AtRiskView],
        responses={200: {"content": sse.DESCRIBED}},
    )
    async def list_at_risk(
        request: Request,
        caller: Reader,
        query: Annotated[AtRiskQuery, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """Targets at risk, the one that is due first at the front.

        With `Accept: text/event-stream` all of them as events `appeared`, after `snapshot`, and
        then what becomes of them: `appeared`, `changed`, `left`. `current` says that all up to now
        has been told; its id, sent as `Last-Event-ID`, goes on from there.
        """
        scope = query.scope(caller)
        if sse.wanted(request):
            return sse.stream(request, _events(watch, scope, _place(last_event_id)))
        async with rt.database.reading() as connection:
            rows = await store.at_risk(
                connection, scope, after=_LIST.decode(query.cursor), most=query.limit + 1
            )
            calendars = await store.calendars(connection, rows)
        now = rt.clock.now()
        page = _LIST.page(
            rows,
            query.limit,
            position=lambda row: (row.due_at, row.ticket_id, row.target.value),
            item=lambda row: _view(left(row, calendars, now)),
        )
        return respond(page)

    return routes


async def _events(
    watch: Watch, scope: Scope, after: Place | None
) -> AsyncGenerator[ServerEvent, None]:
    async with aclosing(watch.follow(scope, after)) as followed:
        async for news in followed:
            match news:
                case Beginning():
                    yield ServerEvent("snapshot", {})
                case Told(turn, shown):
                    yield ServerEvent(turn, _view(shown))
                case Current(place):
                    yield ServerEvent("current", {"as_of": place[0]}, id=_STREAM.encode(place))


def _place(last_event_id: str | None) -> Place | None:
    """Where to go on; an id that is none of ours begins anew, for nobody would see a refusal."""
    try:
        return _STREAM.decode(last_event_id or None)
    except Invalid:
        return None


def _view(shown: Shown) -> AtRiskView:
    one = shown.watched
    return AtRiskView(
        ticket_id=one.ticket_id,
        number=one.number,
        product=one.product,
        type=one.type,
        priority=one.priority,
        target=one.target,
        state=one.state,
        due_at=one.due_at,
        remaining=shown.remaining,
        warned_share=one.warned_share,
        escalation_level=one.level.slug if one.level is not Level.NONE else None,
        team=one.team or None,
        agent=one.agent,
    )
