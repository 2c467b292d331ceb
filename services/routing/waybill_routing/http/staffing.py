"""`POST /v1/routing/staffing`: teams, queues, agents and rules at once, all or none.

They name one another: a new agent is in a new team, a new rule leads to a new queue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response
from waybill_chassis.causes import Origin
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import DryRun, RequestModel, ResponseModel, respond
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Invalid, Problem
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Agent, Presence, Queue, Rule, Schedule, Taken, Team, is_default
from waybill_routing.http.agents import Admin
from waybill_routing.http.assignments import origin
from waybill_routing.http.models import NewQueue, NewTeam, QueueAnswer, TeamAnswer
from waybill_routing.http.people import AgentAnswer, NewAgent, absences, shifts, skills
from waybill_routing.http.rule_bodies import NewRule, RemarkAnswer, RuleAnswer
from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.settings import Settings
from waybill_routing.store import people, staff, ways
from waybill_routing.store import rules as store
from waybill_routing.usecases import ruling

PATH = "/v1/routing/staffing"
_Version = Annotated[
    int | None, Field(ge=0, description="As it was read; 0: there is none yet; null: whatever.")
]


class TeamDocument(NewTeam):
    """A team, whole."""

    version: _Version = None


class QueueDocument(NewQueue):
    """A queue, whole."""

    version: _Version = None


class AgentDocument(NewAgent):
    """An agent, whole; whether they are there is theirs to say."""

    presence: None = Field(default=None, exclude=True)  # type: ignore[assignment]
    version: _Version = None


class RuleDocument(NewRule):
    """A rule, whole; of the default one only the queue."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)]
    version: _Version = None


class Staffing(RequestModel):
    """What is to be so; what is not named stays as it is."""

    teams: Annotated[tuple[TeamDocument, ...], Field(max_length=500)] = ()
    queues: Annotated[tuple[QueueDocument, ...], Field(max_length=500)] = ()
    agents: Annotated[tuple[AgentDocument, ...], Field(max_length=2000)] = ()
    rules: Annotated[tuple[RuleDocument, ...], Field(max_length=500)] = ()


class StaffingAnswer(ResponseModel):
    """The same as it stands now, in the same order, and what is odd about the rules with it."""

    teams: list[TeamAnswer]
    queues: list[QueueAnswer]
    agents: list[AgentAnswer]
    rules: list[RuleAnswer]
    remarks: list[RemarkAnswer]


def router(rt: Runtime[Settings]) -> APIRouter:
    """The route of all at once."""
    routes = APIRouter(tags=["teams and queues"])

    @routes.post(PATH, response_model=StaffingAnswer)
    async def put_all(body: Staffing, caller: Admin, dry_run: DryRun = False) -> Response:
        """Make each so, if it still stands as it was read; nothing if any of it is wrong."""
        by = origin(caller, f"POST {PATH}")
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            teams = await _put_teams(uow, body)
            await _put_queues(uow, body)
            await _put_agents(uow, body, by)
            rules = await _put_rules(uow, body, caller.known_as)
            return respond(await _answer(uow, body, teams, rules))

    return routes


async def _put_teams(uow: UnitOfWork, body: Staffing) -> list[Team]:
    teams = []
    for place, one in enumerate(body.teams):
        with _of("teams", place):
            if await ways.team(uow.connection, one.slug) is None:
                _check_new(one.version)
                team = Team(one.slug, one.name, one.escalation_level)
                teams.append(await usecases.add_team(uow, team))
                continue
            _check_known(one.version, one.slug)
            teams.append(
                await usecases.change_team(
                    uow,
                    one.slug,
                    name=one.name,
                    escalation_level=one.escalation_level,
                    expected=one.version,
                )
            )
    return teams


async def _put_queues(uow: UnitOfWork, body: Staffing) -> None:
    own = {team.slug for team in body.teams}
    for place, one in enumerate(body.queues):
        with _of("queues", place):
            what = one.model_dump(exclude={"version"})
            if await ways.queue(uow.connection, one.slug) is None:
                _check_new(one.version)
                await usecases.add_queue(uow, Queue(**what))
                continue
            expected = one.version
            if expected == 0 and one.slug in own:
                expected = None  # it came with its team, just now
            _check_known(expected, one.slug)
            await usecases.change_queue(uow, one.slug, what, expected=expected)


async def _put_agents(uow: UnitOfWork, body: Staffing, by: Origin) -> None:
    emails = [one.email for one in body.agents]
    known = await staff.ids_of(uow, emails) if emails else {}
    # In the order of their ids, before each is held by itself.
    await people.lock(uow, known.values())
    usual = (await uow.settings()).of(RoutingSettings).default_capacity
    # Absences come last: a stand-in may be new.
    for place, one in enumerate(body.agents):
        facts: dict[str, Any] = {
            "name": one.name,
            "teams": one.teams,
            "skills": skills(one.skills),
            "capacity": usual if one.capacity is None else one.capacity,
        }
        with _of("agents", place):
            if one.email in known:
                _check_known(one.version, one.email)
                facts["shifts"] = shifts(one.shifts)
                await usecases.change_agent(uow, known[one.email], facts, by, expected=one.version)
                continue
            _check_new(one.version)
            agent = Agent(
                id=new_id(),
                email=one.email,
                presence=Presence.OFFLINE,
                presence_since=uow.now,
                **facts,
            )
            known[one.email] = (
                await usecases.add_agent(uow, agent, by, Schedule(shifts(one.shifts)))
            ).id
    for place, one in enumerate(body.agents):
        with _of("agents", place):
            changes = {"absences": absences(one.absences)}
            await usecases.change_agent(uow, known[one.email], changes, by)


async def _put_rules(uow: UnitOfWork, body: Staffing, by: str) -> list[Rule]:
    known = {rule.name: rule for rule in await store.everything(uow.connection)}
    rules = []
    for place, one in enumerate(body.rules):
        with _of("rules", place):
            was = known.get(one.name)
            if was is None:
                _check_new(one.version)
                rules.append(await usecases.add_rule(uow, one.rule(new_id()), by))
                continue
            _check_known(one.version, one.name)
            wanted = one.model_dump(exclude={"version"})
            if is_default(was):
                said = one.model_fields_set - {"version"}
                wanted = {name: wanted[name] for name in said}
            rules.append(
                await usecases.change_rule(uow, one.name, wanted, by, expected=one.version)
            )
    return rules


async def _answer(
    uow: UnitOfWork, body: Staffing, teams: list[Team], rules: list[Rule]
) -> StaffingAnswer:
    ids = await staff.ids_of(uow, [one.email for one in body.agents])
    agents = {agent.id: agent for agent in await people.lock(uow, ids.values())}
    kept = await staff.schedules(uow.connection, agents)
    queues = [await ways.queue(uow.connection, one.slug) for one in body.queues]
    return StaffingAnswer(
        teams=[TeamAnswer.model_validate(team) for team in teams],
        queues=[QueueAnswer.of(queue) for queue in queues if queue is not None],
        agents=[
            AgentAnswer.of(agents[id], kept[id]) for one in body.agents for id in [ids[one.email]]
        ],
        rules=[RuleAnswer.model_validate(rule) for rule in rules],
        remarks=RemarkAnswer.all_of(await ruling.remarks(uow)),
    )


def _check_new(version: int | None) -> None:
    if version:
        raise Taken(f"This was version {version} and is gone by now: read it again.")


def _check_known(version: int | None, name: str) -> None:
    if version == 0:
        raise Taken(f"There is a {name} already, which was not there before: read it again.")


@contextmanager
def _of(part: str, place: int) -> Iterator[None]:
    """What is wrong with one of them names it."""
    try:
        yield
    except Problem as problem:
        path = f"{part}.{place}"
        found = problem.errors or [{"field": "", "message": problem.detail}]
        errors = [
            {"field": f"{path}.{one['field']}".rstrip("."), "message": one["message"]}
            for one in found
        ]
        raise Invalid(f"{path}: {problem.detail}", errors=errors) from None  # type: ignore[arg-type]
