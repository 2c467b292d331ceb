"""`/v1/sla/simulations`: what would have been met by other policies, ladders and calendars."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    Instant,
    Limit,
    Page,
    RequestModel,
    ResponseModel,
    RunOnce,
    respond,
)
from waybill_chassis.problems import NotFound
from waybill_chassis.service import Runtime

from waybill_sla import simulating
from waybill_sla.agreements import Documents, written
from waybill_sla.domain.simulation import Score, Tally
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.http.callers import Admin
from waybill_sla.policies import Slug, TicketType
from waybill_sla.settings import Settings
from waybill_sla.simulating import MOST_TICKETS
from waybill_sla.store import simulations as store
from waybill_sla.store.simulations import Filters, Simulation

PATH = "/v1/sla/simulations"

_IDS = Cursor[UUID]("sla simulations", UUID)


class FiltersBody(RequestModel):
    """Which tickets are replayed; the newest first, as far as the limit goes."""

    product: Slug | None = None
    type: TicketType | None = None
    priority: Priority | None = None
    since: Annotated[Instant | None, Field(alias="from", description="Opened then or later.")] = (
        None
    )
    until: Annotated[Instant | None, Field(alias="to", description="Opened before then.")] = None

    @model_validator(mode="after")
    def _forward(self) -> "FiltersBody":
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise PydanticCustomError("simulation", "must be after from", {"path": ("to",)})
        return self


class SimulationRequest(Documents):
    """What would be there beside what is, and for which tickets."""

    filters: FiltersBody = FiltersBody()
    limit: Annotated[int, Field(ge=1, le=MOST_TICKETS)] = 10_000

    @model_validator(mode="after")
    def _something(self) -> "SimulationRequest":
        if not (self.calendars or self.ladders or self.policies):
            raise PydanticCustomError(
                "simulation",
                "must hold a policy, unless there are calendars or ladders",
                {"path": ("policies",)},
            )
        return self


class SimulationState(StrEnum):
    """How far it has come."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ScoreView(ResponseModel):
    """What became of targets; `attainment` is the share met of those met or breached."""

    met: int
    breached: int
    cancelled: int
    open: int
    attainment: float | None


class TargetScoreView(ResponseModel):
    """The targets of a kind by what is agreed, and by the proposal."""

    target: TargetKind
    priority: Priority
    before: ScoreView
    after: ScoreView


class RungScoreView(ResponseModel):
    """How often a rung has fired."""

    ladder: str
    rung: str
    level: str
    before: int
    after: int


class CaseView(ResponseModel):
    """A ticket, and its target that one side only breaches."""

    ticket_id: UUID
    number: str
    priority: Priority
    target: TargetKind


class CasesView(ResponseModel):
    """How many, and the first 100 of them."""

    count: int
    first: list[CaseView]


class MoveView(ResponseModel):
    """A ticket that would have another policy."""

    ticket_id: UUID
    number: str
    before: str
    after: str


class MovesView(ResponseModel):
    """How many, and the first 100 of them."""

    count: int
    first: list[MoveView]


class SimulationView(ResponseModel):
    """A simulation: `done` of `total` tickets, and what it has found in them.

    Of the `approximated` tickets only the ledger is known: their moves, not their earlier
    priorities. Those `left_out` could not be replayed.
    """

    id: UUID
    state: SimulationState
    total: int
    done: int
    started_at: Instant
    started_by: str
    ended_at: Instant | None
    failure: str | None
    approximated: int
    left_out: int
    targets: list[TargetScoreView]
    breaches_gained: CasesView
    breaches_lost: CasesView
    escalations: list[RungScoreView]
    other_policy: MovesView


def _score(score: Score) -> ScoreView:
    judged = score.met + score.breached
    return ScoreView(
        met=score.met,
        breached=score.breached,
        cancelled=score.cancelled,
        open=score.open,
        attainment=score.met / judged if judged else None,
    )


def _targets(tally: Tally) -> list[TargetScoreView]:
    kinds, priorities = list(TargetKind), list(Priority)
    ordered = sorted(
        tally.targets,
        key=lambda one: (kinds.index(one.target), priorities.index(one.priority)),
    )
    return [
        TargetScoreView(
            target=one.target,
            priority=one.priority,
            before=_score(one.before),
            after=_score(one.after),
        )
        for one in ordered
    ]


def _shown(found: Simulation) -> SimulationView:
    tally, state = found.tally, SimulationState.RUNNING
    if found.ended_at is not None:
        state = SimulationState.FAILED if found.failure else SimulationState.DONE
    return SimulationView(
        id=found.id,
        state=state,
        total=found.total,
        done=found.done,
        started_at=found.started_at,
        started_by=found.started_by,
        ended_at=found.ended_at,
        failure=found.failure,
        approximated=tally.approximated,
        left_out=tally.left_out,
        targets=_targets(tally),
        breaches_gained=CasesView.model_validate(tally.breaches_gained),
        breaches_lost=CasesView.model_validate(tally.breaches_lost),
        escalations=[
            RungScoreView.model_validate(one)
            for one in sorted(tally.escalations, key=lambda one: (one.ladder, one.rung))
        ],
        other_policy=MovesView.model_validate(tally.other_policy),
    )


def router(rt: Runtime[Settings]) -> APIRouter:
    """Simulations."""
    routes = APIRouter(tags=["simulations"])

    @routes.post(PATH, response_model=SimulationView, status_code=202)
    async def simulate(body: SimulationRequest, caller: Admin, once: RunOnce) -> Response:
        """Replay past tickets under a proposal, in the background. It changes nothing else."""
        what = await written(body, rt.clock.now())

        async def effect(uow: UnitOfWork) -> Response:
            filters = Filters(
                body.filters.until or uow.now,
                body.limit,
                body.filters.since,
                body.filters.product,
                body.filters.type,
                body.filters.priority,
            )
            begun = await simulating.ask(uow, body, what, filters, caller.known_as)
            return respond(_shown(begun), status=202, headers={"Location": f"{PATH}/{begun.id}"})

        return await once(effect)

    @routes.get(PATH, response_model=Page[SimulationView])
    async def list_simulations(
        _caller: Admin, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """The simulations of the last 30 days, newest first."""
        async with rt.database.reading() as connection:
            found = await store.simulations(connection, before=_IDS.decode(cursor), most=limit + 1)
        return respond(_IDS.page(found, limit, position=lambda one: one.id, item=_shown))

    @routes.get(PATH + "/{simulation}", response_model=SimulationView)
    async def read_simulation(_caller: Admin, simulation: UUID) -> Response:
        """How far it has come, and what it has found."""
        async with rt.database.reading() as connection:
            found = await store.simulation(connection, simulation)
        if found is None:
            raise NotFound("There is no such simulation.")
        return respond(_shown(found))

    return routes
