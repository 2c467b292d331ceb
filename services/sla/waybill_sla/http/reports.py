"""`GET /v1/sla/report`: how targets came out and why; its breaches one by one; its rebuilding."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response
from waybill_chassis.http import Cursor, Instant, Page, ResponseModel, require, respond
from waybill_chassis.periods import Interval, Period, asked_period, divide
from waybill_chassis.service import Runtime

from waybill_sla.domain import report_answers as answers
from waybill_sla.domain.report import Cause, Evidence
from waybill_sla.domain.report_answers import Attainment, By, CauseCount, Group, Part
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.http.callers import Reader
from waybill_sla.http.narrowing import Several, TargetFilter
from waybill_sla.settings import Settings
from waybill_sla.store import rebuilding, reports
from waybill_sla.store.holdings import names

_LIST = Cursor[reports.Place]("sla breaches", reports.Place)


class _Asked(TargetFilter):
    from_: Instant | None = Field(None, alias="from", description="Default: 30 days before `to`.")
    to: Instant | None = Field(None, description="Default: now.")
    timezone: str = Field("UTC", max_length=64, description="IANA name, such as `Europe/Berlin`.")

    def period(self, now: datetime) -> Period:
        """The period that is asked for."""
        return asked_period(self.from_, self.to, self.timezone, now)


class ReportQuery(_Asked):
    """Which targets, due when, grouped by what."""

    by: By = Field(By.PRODUCT, description="What the groups are.")
    interval: Interval = Field(Interval.DAY, description="How the trend is divided.")


class BreachesQuery(_Asked):
    """Which breaches, due when, and which page of them."""

    cause: Several[Cause] = Field([], description="One of these causes.")
    limit: int = Field(50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(
        None, max_length=1024, description="`next_cursor` of the page before."
    )


class PeriodView(ResponseModel):
    """The period that the numbers are of, in whole quarters of an hour."""

    start: Instant
    end: Instant
    timezone: str


class ReportView(ResponseModel):
    """What came of the targets that were due in a period."""

    period: PeriodView
    by: By
    interval: Interval
    targets: list[Attainment]
    causes: list[CauseCount]
    groups: list[Group]
    trend: list[Part]


class BreachView(ResponseModel):
    """A target that was breached, with its cause and the evidence for it; null until judged."""

    ticket_id: UUID
    number: str
    product: str
    type: str
    priority: Priority
    target: TargetKind
    team: str | None
    agent: str | None
    started_at: Instant
    due_at: Instant
    met_at: Instant | None
    """When it was reached all the same, too late."""
    allowed: timedelta
    cause: Cause | None
    evidence: Evidence | None


class RebuildView(ResponseModel):
    """Since when a rebuild is asked for, and when the last one ended; null if never."""

    asked_at: Instant | None
    rebuilt_at: Instant | None


def router(rt: Runtime[Settings]) -> APIRouter:
    """Reports."""
    routes = APIRouter(tags=["sla"])

    @routes.get("/v1/sla/report", response_model=ReportView)
    async def show_report(caller: Reader, query: Annotated[ReportQuery, Query()]) -> Response:
        """How the targets that were due in a period came out, why they were breached, and when."""
        scope, period = query.scope(caller), query.period(rt.clock.now())
        marks = divide(period, query.interval)
        async with rt.database.snapshot() as connection:
            decided, waiting = await reports.count(connection, scope, query.by, marks)
            named: dict[str, str] = {}
            if query.by is By.AGENT:
                keys = {one.key for one in decided} | {one.key for one in waiting}
                named = await names(connection, filter(None, keys))
        found = answers.report(decided, waiting, marks, named)
        return respond(
            ReportView(
                period=_period(period),
                by=query.by,
                interval=query.interval,
                targets=found.targets,
                causes=found.causes,
                groups=found.groups,
                trend=found.trend,
            )
        )

    @routes.get("/v1/sla/report/breaches", response_model=Page[BreachView])
    async def list_breaches(caller: Reader, query: Annotated[BreachesQuery, Query()]) -> Response:
        """The breaches that a report counts, the latest first, each with its cause and evidence."""
        scope, period = query.scope(caller), query.period(rt.clock.now())
        async with rt.database.reading() as connection:
            rows = await reports.breaches(
                connection,
                scope,
                query.cause,
                (period.start, period.end),
                after=_LIST.decode(query.cursor),
                most=query.limit + 1,
            )
        page = _LIST.page(rows, query.limit, position=lambda row: row.place, item=_breach)
        return respond(page)

    @routes.post(
        "/v1/sla/report/rebuild",
        status_code=202,
        response_model=RebuildView,
        dependencies=[require("admin")],
    )
    async def rebuild() -> Response:
        """Judge all targets again, soon; the numbers stay the same unless they were wrong."""
        async with rt.database.unit_of_work() as uow:
            state = await rebuilding.ask(uow.connection, uow.now)
        return respond(RebuildView(asked_at=state.asked_at, rebuilt_at=state.done_at), status=202)

    return routes


def _period(asked: Period) -> PeriodView:
    return PeriodView(
        start=datetime.fromtimestamp(asked.start, UTC),
        end=datetime.fromtimestamp(asked.end, UTC),
        timezone=asked.zone.key,
    )


def _breach(row: reports.Breach) -> BreachView:
    return BreachView(
        ticket_id=row.ticket_id,
        number=row.number,
        product=row.product,
        type=row.type,
        priority=row.priority,
        target=row.target,
        team=row.team or None,
        agent=row.agent,
        started_at=row.started_at,
        due_at=row.due_at,
        met_at=row.stopped_at,
        allowed=row.allowed,
        cause=row.cause,
        evidence=row.evidence,
    )
