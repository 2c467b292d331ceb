"""`GET /v1/stats/...`: what happened, how well, by whom, with what, and why."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import Instant, ResponseModel, require, respond
from waybill_chassis.periods import Interval, asked_period
from waybill_chassis.problems import NotFound
from waybill_chassis.service import Runtime

from waybill_intake import reports
from waybill_intake.bodies import Slug
from waybill_intake.domain.statistics_answers import (
    AgentNumbers,
    Efficiency,
    Issues,
    Volume,
    moment,
)
from waybill_intake.domain.statistics_causes import Diagnosis
from waybill_intake.domain.words import TicketType
from waybill_intake.reports import Question
from waybill_intake.settings import Settings
from waybill_intake.store import statistics_reading as reading
from waybill_intake.store import statistics_rebuilding as rebuilding

Staff = Annotated[Principal, require("agent")]

_TEAM = r"^[a-z0-9][a-z0-9_-]*$"


class PeriodView(ResponseModel):
    """The period that the numbers are of, in whole quarters of an hour."""

    start: Instant
    end: Instant
    timezone: str


class VolumeView(ResponseModel):
    """Volume in a period."""

    period: PeriodView
    interval: Interval
    volume: Volume


class EfficiencyView(ResponseModel):
    """Efficiency in a period."""

    period: PeriodView
    interval: Interval
    efficiency: Efficiency


class AgentsView(ResponseModel):
    """Agents in a period."""

    period: PeriodView
    agents: list[AgentNumbers]


class IssuesView(ResponseModel):
    """Issues in a period."""

    period: PeriodView
    issues: Issues


class DiagnosisView(ResponseModel):
    """The diagnosis of a period."""

    period: PeriodView
    diagnosis: Diagnosis


class RebuildView(ResponseModel):
    """Since when a rebuild is asked for, and when the last one ended; null if never."""

    asked_at: Instant | None
    rebuilt_at: Instant | None


def router(rt: Runtime[Settings]) -> APIRouter:
    """Statistics."""
    routes = APIRouter(tags=["statistics"])

    def asked(
        caller: Staff,
        start: Annotated[
            Instant | None, Query(alias="from", description="Default: 30 days before `to`.")
        ] = None,
        end: Annotated[Instant | None, Query(alias="to", description="Default: now.")] = None,
        product: Annotated[Slug | None, Query()] = None,
        type: TicketType | None = None,
        team: Annotated[str | None, Query(pattern=_TEAM, max_length=63)] = None,
        timezone: Annotated[
            str, Query(description="IANA name, such as `Europe/Berlin`.", max_length=64)
        ] = "UTC",
    ) -> Question:
        """What is asked for, by whom."""
        now = rt.clock.now()
        when = asked_period(start, end, timezone, now)
        if product is not None and not caller.can_see_product(product):
            raise _unknown(product)
        scope = reading.Scope(
            [product] if product else caller.readable_products, type and type.value, team
        )
        # Who has a product by name may ask before its first ticket.
        named = product if product not in caller.products else None
        return Question(scope, named, when, now)

    asking = Annotated[Question, Depends(asked)]

    async def tell(question: Question, report: Any, *more: Any) -> Any:
        async with reading.snapshot(rt.database) as connection:
            if question.named and not await reading.knows_product(connection, question.named):
                raise _unknown(question.named)
            return await report(connection, question, *more)

    @routes.get("/v1/stats/volume", response_model=VolumeView)
    async def show_volume(question: asking, interval: Interval = Interval.DAY) -> Response:
        """How many tickets came, went and are there, by interval, and the trend."""
        found = await tell(question, reports.tell_volume, interval)
        return _answer(question, volume=found, interval=interval)

    @routes.get("/v1/stats/efficiency", response_model=EfficiencyView)
    async def show_efficiency(question: asking, interval: Interval = Interval.DAY) -> Response:
        """How fast tickets are answered and resolved, and how often too late or not for good."""
        found = await tell(question, reports.tell_efficiency, interval)
        return _answer(question, efficiency=found, interval=interval)

    @routes.get("/v1/stats/agents", response_model=AgentsView)
    async def show_agents(question: asking) -> Response:
        """What each agent handled and resolved, how they are rated and how fast they answer."""
        return _answer(question, agents=await tell(question, reports.tell_agents))

    @routes.get("/v1/stats/issues", response_model=IssuesView)
    async def show_issues(question: asking) -> Response:
        """What people have trouble with, and which of it is hard, comes back or is escalated."""
        return _answer(question, issues=await tell(question, reports.tell_issues))

    @routes.get("/v1/stats/diagnosis", response_model=DiagnosisView)
    async def show_diagnosis(question: asking) -> Response:
        """Causes of slow response, poor handling and low satisfaction, ranked, with evidence."""
        return _answer(question, diagnosis=await tell(question, reports.tell_diagnosis))

    @routes.post(
        "/v1/stats/rebuild",
        status_code=202,
        response_model=RebuildView,
        dependencies=[require("admin")],
    )
    async def rebuild() -> Response:
        """Count all tickets anew, soon; the numbers stay the same unless they were wrong."""
        async with rt.database.unit_of_work() as uow:
            return respond(await rebuilding.ask(uow), status=202)

    return routes


def _answer(question: Question, **found: Any) -> Response:
    asked = question.period
    return respond(
        {
            "period": {
                "start": moment(asked.start),
                "end": moment(asked.end),
                "timezone": asked.zone.key,
            }
        }
        | found
    )


def _unknown(product: str) -> NotFound:
    return NotFound(f"There is no product {product}, or none that you may see.", product=product)
