"""Agents, teams and rules: who works, and what goes where."""

from dataclasses import replace
from uuid import UUID

from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin
from waybill_chassis.database import UnitOfWork
from waybill_chassis.problems import check_version, invalid_field

from waybill_routing import events
from waybill_routing.domain import (
    Agent,
    NoAgent,
    Presence,
    Queue,
    Rule,
    Skill,
    Taken,
    Team,
    UnknownAgent,
)
from waybill_routing.store import people, ways
from waybill_routing.usecases.desks import desk_for, finish


async def the_agent(uow: UnitOfWork, principal: Principal) -> Agent:
    """The agent that a token's holder is, known by their address; `NoAgent` when they are none."""
    address = principal.address or principal.subject
    agent = await people.by_email(uow.connection, address)
    if agent is None:
        raise NoAgent(address)
    return agent


async def add_agent(uow: UnitOfWork, agent: Agent, origin: Origin) -> Agent:
    """A new agent, who gets what waits for their teams if they are available."""
    await _check_teams(uow, agent.teams)
    if not await people.insert(uow, agent):
        raise Taken(f"There is an agent with the address {agent.email} already.")
    events.tell_presence(uow, agent, Presence.OFFLINE, origin)
    return await _serve(uow, agent, origin)


async def change_agent(
    uow: UnitOfWork,
    id: UUID,
    origin: Origin,
    *,
    presence: Presence | None = None,
    name: str | None = None,
    teams: tuple[str, ...] | None = None,
    skills: tuple[Skill, ...] | None = None,
    capacity: int | None = None,
    expected: int | None = None,
) -> Agent:
    """What is None stays. Whoever becomes available gets what waits for their teams at once."""
    if teams is not None:
        await _check_teams(uow, teams)
    found = await people.lock(uow, [id])
    if not found:
        raise UnknownAgent(id)
    (was,) = found
    check_version(expected, was.version)
    now = replace(
        was,
        name=was.name if name is None else name,
        teams=was.teams if teams is None else teams,
        skills=was.skills if skills is None else skills,
        capacity=was.capacity if capacity is None else capacity,
        presence=was.presence if presence is None else presence,
        presence_since=was.presence_since if presence in (None, was.presence) else uow.now,
    )
    if now == was:
        return was
    now = replace(now, version=was.version + 1)
    await people.update(uow, now)
    events.tell_presence(uow, now, was.presence, origin)
    return await _serve(uow, now, origin)


async def recount(uow: UnitOfWork, *, repair: bool) -> list[tuple[Agent, int, int]]:
    """Agents of whom number or weight of open tickets is not what these say; both as they say."""
    agents = await people.lock(uow, await people.all_ids(uow))
    counted = await people.counted(uow, [agent.id for agent in agents])
    wrong = [(a, *counted[a.id]) for a in agents if (a.open_tickets, a.load) != counted[a.id]]
    if repair:
        right = [replace(a, open_tickets=held, load=load) for a, held, load in wrong]
        await people.write_loads(uow, right)
    return wrong


async def add_team(uow: UnitOfWork, team: Team) -> Team:
    """A new team with a queue of the same name."""
    if not await people.insert_team(uow, team):
        raise Taken(f"There is a team {team.slug} already.")
    if not await ways.insert_queue(uow, Queue(slug=team.slug, team=team.slug)):
        raise Taken(f"There is a queue {team.slug} already.")
    return team


async def add_rule(uow: UnitOfWork, rule: Rule) -> Rule:
    """A new rule; it counts for tickets that are placed from now on."""
    queues, _ = await ways.ways(uow.connection)
    if rule.queue not in queues:
        raise invalid_field("queue", f"must be one of {', '.join(queues)}")
    await ways.insert_rule(uow, rule)
    return rule


async def _serve(uow: UnitOfWork, agent: Agent, origin: Origin) -> Agent:
    """Give an agent whose row is ours what waits for their teams; the agent afterwards."""
    if not agent.ready or not agent.room:
        return agent
    desk = await desk_for(uow, (), agents=[agent.id])
    await finish(uow, desk, origin)
    return desk.agents[agent.id]


async def _check_teams(uow: UnitOfWork, teams: tuple[str, ...]) -> None:
    if missing := set(teams) - await people.known_teams(uow, teams):
        raise invalid_field("teams", f"must be teams that there are: not {', '.join(missing)}")
