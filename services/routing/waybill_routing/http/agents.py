"""Agents: who there is, who is there, what they take next."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    ExpectedVersion,
    Limit,
    Page,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Agent, NotYours, UnknownAgent
from waybill_routing.http.assignments import AgentCaller, answer, origin
from waybill_routing.http.models import (
    AgentAnswer,
    AgentChange,
    AssignmentAnswer,
    NewAgent,
    PresenceChange,
    Slug,
)
from waybill_routing.settings import Settings
from waybill_routing.store import people

_Admin = Annotated[Principal, require("admin")]
_AGENTS = Cursor[tuple[str]]("agents", tuple[str])


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/agents`."""
    routes = APIRouter(tags=["agents"])

    @routes.get("/v1/agents", dependencies=[require("agent")])
    async def several(
        team: Slug | None = None, limit: Limit = 50, cursor: CursorParam = None
    ) -> Page[AgentAnswer]:
        """Agents by address; only those of `team` if one is named."""
        after = _AGENTS.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await people.page(
                connection, after=after and after[0], team=team, limit=limit + 1
            )
        return _AGENTS.page(rows, limit, position=lambda a: (a.email,), item=AgentAnswer.of)

    @routes.get("/v1/agents/{id}", response_model=AgentAnswer, dependencies=[require("agent")])
    async def one(id: str) -> Response:
        """One agent."""
        async with rt.database.reading() as connection:
            agent = await people.by_id(connection, _id(id))
        if agent is None:
            raise UnknownAgent(id)
        return _shown(agent)

    @routes.post("/v1/agents", status_code=201, response_model=AgentAnswer)
    async def add(body: NewAgent, caller: _Admin, once: RunOnce) -> Response:
        """Add an agent; a token with the same e-mail speaks for them."""

        async def effect(uow: UnitOfWork) -> Response:
            capacity = body.capacity
            agent = await usecases.add_agent(
                uow,
                Agent(
                    id=new_id(),
                    email=body.email,
                    name=body.name,
                    teams=body.teams,
                    skills=tuple(skill.skill() for skill in body.skills),
                    capacity=rt.settings.default_capacity if capacity is None else capacity,
                    presence=body.presence,
                    presence_since=uow.now,
                ),
                origin(caller, "POST /v1/agents"),
            )
            return _shown(agent, status=201, location=f"/v1/agents/{agent.id}")

        return await once(effect)

    @routes.patch("/v1/agents/{id}", response_model=AgentAnswer)
    async def edit(
        id: str, body: AgentChange, caller: _Admin, expected: ExpectedVersion
    ) -> Response:
        """Change an agent's name, teams, skills or capacity; their tickets stay with them."""
        for name in body.model_fields_set:
            if getattr(body, name) is None:
                raise invalid_field(name, "must not be null; leave it out to keep it")
        async with rt.database.unit_of_work() as uow:
            agent = await usecases.change_agent(
                uow,
                _id(id),
                origin(caller, "PATCH /v1/agents/{id}"),
                name=body.name,
                teams=body.teams,
                skills=None
                if body.skills is None
                else tuple(skill.skill() for skill in body.skills),
                capacity=body.capacity,
                expected=expected,
            )
        return _shown(agent)

    @routes.put("/v1/agents/{id}/presence", response_model=AgentAnswer)
    async def presence(
        id: str, body: PresenceChange, caller: AgentCaller, expected: ExpectedVersion
    ) -> Response:
        """Say whether an agent takes tickets: for the agents themselves, and for leads."""
        async with rt.database.unit_of_work() as uow:
            await _check_self(uow, _id(id), caller)
            agent = await usecases.change_agent(
                uow,
                _id(id),
                origin(caller, "PUT /v1/agents/{id}/presence"),
                presence=body.presence,
                expected=expected,
            )
        return _shown(agent)

    @routes.post(
        "/v1/agents/{id}/next",
        response_model=AssignmentAnswer,
        responses={204: {"description": "Nothing waits for the agent's teams"}},
    )
    async def next_ticket(id: str, caller: AgentCaller, once: RunOnce) -> Response:
        """Take the most urgent ticket that waits for the agent's teams; 204 when none does."""
        products = caller.readable_products

        async def effect(uow: UnitOfWork) -> Response:
            await _check_self(uow, _id(id), caller)
            held = await usecases.next_ticket(
                uow, _id(id), products, origin(caller, "POST /v1/agents/{id}/next")
            )
            return respond(None) if held is None else answer(*held)

        return await once(effect)

    return routes


def _shown(agent: Agent, *, status: int = 200, location: str | None = None) -> Response:
    return respond(AgentAnswer.of(agent), status=status, version=agent.version, location=location)


def _id(text: str) -> UUID:
    id = parse_id(text)
    if id is None:
        raise UnknownAgent(text)
    return id


async def _check_self(uow: UnitOfWork, id: UUID, caller: Principal) -> None:
    """Agents may do this for themselves, leads for anybody."""
    if not caller.has("lead") and (await usecases.the_agent(uow, caller)).id != id:
        raise NotYours("Only a lead, an admin or the agent themselves may do this.")
