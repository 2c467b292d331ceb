"""Agents: who there is, who is there, what they take next."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    ExpectedVersion,
    Limit,
    Page,
    RequiredVersion,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.problems import Conflict
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Agent, NotYours, Overtaken, Presence, Schedule, UnknownAgent
from waybill_routing.http.assignments import AgentCaller, answer, origin
from waybill_routing.http.models import AssignmentAnswer, Slug
from waybill_routing.http.people import (
    AbsencesChange,
    AgentAnswer,
    AgentChange,
    NewAgent,
    PresenceChange,
    absences,
    shifts,
    skills,
)
from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.settings import Settings
from waybill_routing.store import people, staff

Admin = Annotated[Principal, require("admin")]
_AGENTS = Cursor[tuple[str]]("agents", tuple[str])
_PATH = "/v1/agents/{id}"
_TRIES = 20


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/agents`."""
    routes = APIRouter(tags=["agents"])
    _add_staff(routes, rt)
    _add_own(routes, rt)
    return routes


def _add_staff(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get("/v1/agents", response_model=Page[AgentAnswer], dependencies=[require("agent")])
    async def several(
        team: Slug | None = None, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """Agents by address; only those of `team` if one is named."""
        after = _AGENTS.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await people.page(
                connection, after=after and after[0], team=team, limit=limit + 1
            )
            kept = await staff.schedules(connection, [agent.id for agent in rows])
        return respond(
            _AGENTS.page(
                rows,
                limit,
                position=lambda agent: (agent.email,),
                item=lambda agent: AgentAnswer.of(agent, kept.get(agent.id, Schedule())),
            )
        )

    @routes.get(_PATH, response_model=AgentAnswer, dependencies=[require("agent")])
    async def one(id: str) -> Response:
        """One agent, with their shifts and absences."""
        async with rt.database.reading() as connection:
            agent = await people.by_id(connection, _id(id))
            if agent is None:
                raise UnknownAgent(id)
            kept = await staff.schedules(connection, [agent.id])
        return respond(AgentAnswer.of(agent, kept[agent.id]), version=agent.version)

    @routes.post("/v1/agents", status_code=201, response_model=AgentAnswer)
    async def add(
        body: NewAgent, caller: Admin, once: RunOnce, dry_run: DryRun = False
    ) -> Response:
        """Add an agent; a token with the same e-mail speaks for them."""

        async def effect(uow: UnitOfWork) -> Response:
            capacity = body.capacity
            if capacity is None:
                capacity = (await uow.settings()).of(RoutingSettings).default_capacity
            agent = await usecases.add_agent(
                uow,
                Agent(
                    id=new_id(),
                    email=body.email,
                    name=body.name,
                    teams=body.teams,
                    skills=skills(body.skills),
                    capacity=capacity,
                    presence=body.presence,
                    presence_since=uow.now,
                ),
                origin(caller, "POST /v1/agents"),
                Schedule(shifts(body.shifts), absences(body.absences)),
            )
            return await _shown(uow, agent, status=201, location=f"/v1/agents/{agent.id}")

        return await once(effect, keep=not dry_run)

    @routes.patch(_PATH, response_model=AgentAnswer)
    async def edit(
        id: str,
        body: AgentChange,
        caller: Admin,
        expected: ExpectedVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Change what an agent can do and when they work; their tickets stay with them."""
        by = origin(caller, f"PATCH {_PATH}")

        async def effect(uow: UnitOfWork) -> Response:
            seen = expected
            if body.presence is Presence.OFFLINE:
                # First: tickets are locked before agents.
                await usecases.appear(uow, _id(id), body.presence, by, expected=seen)
                seen = None
            agent = await usecases.change_agent(uow, _id(id), body.changes(), by, expected=seen)
            if body.presence is not None:
                agent = await usecases.appear(uow, agent.id, body.presence, by)
            return await _shown(uow, agent)

        return await _again(rt, effect, keep=not dry_run)

    @routes.delete(_PATH, status_code=204)
    async def remove(
        id: str, caller: Admin, expected: RequiredVersion, dry_run: DryRun = False
    ) -> Response:
        """An agent leaves: what they have goes to others or waits, what they did stays theirs."""
        by = origin(caller, f"DELETE {_PATH}")

        async def effect(uow: UnitOfWork) -> Response:
            await usecases.remove_agent(uow, _id(id), by, expected=expected)
            return Response(status_code=204)

        return await _again(rt, effect, keep=not dry_run)


def _add_own(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.put(_PATH + "/presence", response_model=AgentAnswer)
    async def presence(
        id: str, body: PresenceChange, caller: AgentCaller, expected: ExpectedVersion
    ) -> Response:
        """Say whether an agent takes tickets, also again and again: for themselves, and leads."""
        by = origin(caller, f"PUT {_PATH}/presence")

        async def effect(uow: UnitOfWork) -> Response:
            await _check_self(uow, _id(id), caller)
            agent = await usecases.appear(uow, _id(id), body.presence, by, expected=expected)
            return await _shown(uow, agent)

        return await _again(rt, effect)

    @routes.put(_PATH + "/absences", response_model=AgentAnswer)
    async def absent(
        id: str,
        body: AbsencesChange,
        caller: AgentCaller,
        expected: ExpectedVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Say when an agent is not there, and who stands in: for themselves, and for leads."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            await _check_self(uow, _id(id), caller)
            agent = await usecases.change_agent(
                uow,
                _id(id),
                {"absences": absences(body.absences)},
                origin(caller, f"PUT {_PATH}/absences"),
                expected=expected,
            )
            return await _shown(uow, agent)

    @routes.post(
        _PATH + "/next",
        response_model=AssignmentAnswer,
        responses={204: {"description": "Nothing waits for the agent's teams"}},
    )
    async def next_ticket(id: str, caller: AgentCaller, once: RunOnce) -> Response:
        """Take the most urgent ticket that waits for the agent's teams; 204 when none does."""
        products = caller.readable_products

        async def effect(uow: UnitOfWork) -> Response:
            await _check_self(uow, _id(id), caller)
            held = await usecases.next_ticket(
                uow, _id(id), products, origin(caller, f"POST {_PATH}/next")
            )
            return respond(None) if held is None else answer(*held)

        return await once(effect)


async def _again(
    rt: Runtime[Settings],
    effect: Callable[[UnitOfWork], Awaitable[Response]],
    *,
    keep: bool = True,
) -> Response:
    """Begin again when the agent was given something while what they have was being locked."""
    for _ in range(_TRIES):
        try:
            async with rt.database.unit_of_work(keep=keep) as uow:
                return await effect(uow)
        except Overtaken:
            continue
    raise Conflict("New tickets keep coming to this agent: say that they are busy first.")


async def _shown(
    uow: UnitOfWork, agent: Agent, *, status: int = 200, location: str | None = None
) -> Response:
    kept = await staff.schedules(uow.connection, [agent.id])
    return respond(
        AgentAnswer.of(agent, kept[agent.id]),
        status=status,
        version=agent.version,
        location=location,
    )


def _id(text: str) -> UUID:
    id = parse_id(text)
    if id is None:
        raise UnknownAgent(text)
    return id


async def _check_self(uow: UnitOfWork, id: UUID, caller: Principal) -> None:
    """Agents may do this for themselves, leads for anybody."""
    if not caller.has("lead") and (await usecases.the_agent(uow, caller)).id != id:
        raise NotYours("Only a lead, an admin or the agent themselves may do this.")
