"""Who has a ticket: asked, claimed, assigned by hand, released."""

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin, person, request_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import ExpectedVersion, require, respond
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Agent, Case
from waybill_routing.http.models import AssignmentAnswer, ByHand
from waybill_routing.http.story import MOST_SHOWN, AssignmentStory
from waybill_routing.lookup import find
from waybill_routing.settings import Settings
from waybill_routing.store import decisions, tickets

AgentCaller = Annotated[Principal, require("agent")]
_Reader = Annotated[Principal, require("agent", "service")]

_PATH = "/v1/tickets/{id}/assignment"


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/tickets/{id}/assignment`."""
    routes = APIRouter(tags=["assignments"])

    @routes.get(_PATH, response_model=AssignmentStory)
    async def read(id: str, caller: _Reader) -> Response:
        """Who has the ticket, and why: the last decisions with their candidates and scores."""
        ticket = await find(rt, id, caller, origin(caller, f"GET {_PATH}"))
        async with rt.database.reading() as connection:
            held = await tickets.read(connection, ticket)
            steps, names = await decisions.last(connection, ticket, MOST_SHOWN)
        if held is None:
            raise unknown_ticket(id)
        case, row = held
        return respond(
            AssignmentStory.told(case, row.agent_name, steps, names),
            version=case.assignment.version,
        )

    @routes.put(_PATH, response_model=AssignmentAnswer)
    async def assign(
        id: str, body: ByHand, caller: AgentCaller, expected: ExpectedVersion
    ) -> Response:
        """Give the ticket to an agent or a team: for leads, and for the agent who has it."""
        came_from = origin(caller, f"PUT {_PATH}")
        ticket = await find(rt, id, caller, came_from)
        async with rt.database.unit_of_work() as uow:
            by = await _holder(uow, caller)
            if body.agent_id is not None:
                held = await usecases.hand_over(
                    uow, ticket, body.agent_id, by=by, expected=expected, origin=came_from
                )
            else:
                held = await usecases.change(
                    uow, ticket, body.team or "", by=by, expected=expected, origin=came_from
                )
        return answer(*held)

    @routes.delete(_PATH, response_model=AssignmentAnswer)
    async def release(id: str, caller: AgentCaller, expected: ExpectedVersion) -> Response:
        """Take the ticket from whoever has it: for leads, and for the agent who has it."""
        came_from = origin(caller, f"DELETE {_PATH}")
        ticket = await find(rt, id, caller, came_from)
        async with rt.database.unit_of_work() as uow:
            held = await usecases.give_back(
                uow,
                ticket,
                by=await _holder(uow, caller),
                expected=expected,
                origin=came_from,
            )
        return answer(*held)

    @routes.post(f"{_PATH}/claim", response_model=AssignmentAnswer)
    async def claim(id: str, caller: AgentCaller) -> Response:
        """Take the ticket; 409 names who has it if somebody else was first."""
        came_from = origin(caller, f"POST {_PATH}/claim")
        async with rt.database.unit_of_work() as uow:
            me = await usecases.the_agent(uow, caller)
        ticket = await find(rt, id, caller, came_from)
        async with rt.database.unit_of_work() as uow:
            held = await usecases.claim(uow, ticket, me, came_from)
        return answer(*held)

    return routes


def origin(caller: Principal, request: str) -> Origin:
    """A request by this caller."""
    return Origin(person(caller), request_cause(request))


def answer(case: Case, agent: Agent | None) -> Response:
    """The assignment with its version."""
    return respond(AssignmentAnswer.of(case, agent and agent.name), version=case.assignment.version)


async def _holder(uow: UnitOfWork, caller: Principal) -> Agent | None:
    """Who must have the ticket: nobody in particular when a lead asks."""
    return None if caller.has("lead") else await usecases.the_agent(uow, caller)
