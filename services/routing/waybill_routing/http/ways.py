"""Teams, queues and the rules that lead to them."""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import Cursor, CursorParam, Limit, Page, RunOnce, require, respond
from waybill_chassis.ids import new_id
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Rule, Team
from waybill_routing.http.models import (
    NewRule,
    NewTeam,
    QueueAnswer,
    RuleAnswer,
    TeamAnswer,
)
from waybill_routing.settings import Settings
from waybill_routing.store import people, ways

_TEAMS = Cursor[tuple[str]]("teams", tuple[str])
_QUEUES = Cursor[tuple[str]]("queues", tuple[str])
_RULES = Cursor[tuple[int, UUID]]("rules", tuple[int, UUID])


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes of teams, queues and rules."""
    routes = APIRouter(tags=["teams, queues, rules"])

    @routes.get("/v1/teams", dependencies=[require("agent")])
    async def teams(limit: Limit = 50, cursor: CursorParam = None) -> Page[TeamAnswer]:
        """Teams by slug."""
        after = _TEAMS.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await people.team_page(connection, after=after and after[0], limit=limit + 1)
        return _TEAMS.page(
            rows, limit, position=lambda team: (team.slug,), item=TeamAnswer.model_validate
        )

    @routes.post(
        "/v1/teams", status_code=201, response_model=TeamAnswer, dependencies=[require("admin")]
    )
    async def add_team(body: NewTeam, once: RunOnce) -> Response:
        """Add a team, with a queue of the same name."""

        async def effect(uow: UnitOfWork) -> Response:
            team = await usecases.add_team(uow, Team(body.slug, body.name, body.escalation_level))
            return respond(TeamAnswer.model_validate(team), status=201, location="/v1/teams")

        return await once(effect)

    @routes.get("/v1/queues", dependencies=[require("agent")])
    async def queues(limit: Limit = 50, cursor: CursorParam = None) -> Page[QueueAnswer]:
        """Queues by slug, with how many open tickets wait in each and since when."""
        after = _QUEUES.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await ways.queue_page(connection, after=after and after[0], limit=limit + 1)
        return _QUEUES.page(
            rows, limit, position=lambda row: (row.queue.slug,), item=QueueAnswer.of
        )

    @routes.get("/v1/routing-rules", dependencies=[require("admin")])
    async def rules(limit: Limit = 50, cursor: CursorParam = None) -> Page[RuleAnswer]:
        """Rules in the order they are asked; the default one is the last."""
        async with rt.database.reading() as connection:
            rows = await ways.rule_page(connection, after=_RULES.decode(cursor), limit=limit + 1)
        return _RULES.page(
            rows,
            limit,
            position=lambda rule: (rule.position, rule.id),
            item=RuleAnswer.model_validate,
        )

    @routes.post(
        "/v1/routing-rules",
        status_code=201,
        response_model=RuleAnswer,
        dependencies=[require("admin")],
    )
    async def add_rule(body: NewRule, once: RunOnce) -> Response:
        """Add a rule; it counts for tickets that are placed from now on."""

        async def effect(uow: UnitOfWork) -> Response:
            id = new_id()
            rule = await usecases.add_rule(
                uow,
                Rule(
                    id=id,
                    position=body.position,
                    queue=body.queue,
                    name=f"rule-{str(id)[-12:]}",
                    product=() if body.product is None else (body.product,),
                    type=() if body.type is None else (body.type,),
                    priority=() if body.priority is None else (body.priority,),
                ),
            )
            return respond(
                RuleAnswer.model_validate(rule), status=201, location="/v1/routing-rules"
            )

        return await once(effect)

    return routes
