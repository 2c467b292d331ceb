"""Agents: who works, what they can do, and when."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin
from waybill_chassis.database import UnitOfWork
from waybill_chassis.problems import check_version, invalid_field

from waybill_routing import events
from waybill_routing.domain import (
    Absence,
    Agent,
    NoAgent,
    Overtaken,
    Presence,
    ReleaseReason,
    Schedule,
    Taken,
    UnknownAgent,
    duty,
)
from waybill_routing.store import people, staff, tickets, ways
from waybill_routing.usecases.desks import desk_for, finish

_ALWAYS = Schedule()


async def the_agent(uow: UnitOfWork, principal: Principal) -> Agent:
    """The agent that a token's holder is, known by their address; `NoAgent` when they are none."""
    address = principal.address or principal.subject
    agent = await people.by_email(uow.connection, address)
    if agent is None:
        raise NoAgent(address)
    return agent


async def add_agent(
    uow: UnitOfWork, agent: Agent, origin: Origin, schedule: Schedule = _ALWAYS
) -> Agent:
    """A new agent, who gets what waits for their teams if they are there."""
    await _check_teams(uow, agent.teams)
    schedule = await _with_stand_ins(uow, agent.email, schedule)
    if not await staff.insert(uow, agent, schedule):
        raise Taken(f"There is an agent with the address {agent.email} already.")
    agent = await _on_duty(uow, agent, schedule)
    events.tell_presence(uow, agent, Presence.OFFLINE, origin)
    return await _serve(uow, agent, origin)


async def change_agent(
    uow: UnitOfWork,
    id: UUID,
    changes: Mapping[str, Any],
    origin: Origin,
    *,
    expected: int | None = None,
) -> Agent:
    """Change what `changes` names: name, teams, skills, capacity, shifts, absences.

    What they have stays with them; whoever is on duty by it gets what waits for their teams.
    """
    await _check_teams(uow, changes.get("teams", ()))
    was = await _locked(uow, id, expected)
    before = (await staff.schedules(uow.connection, [id]))[id]
    timed = {name: changes[name] for name in ("shifts", "absences") if name in changes}
    schedule = await _with_stand_ins(uow, was.email, replace(before, **timed))
    now = replace(was, **{name: value for name, value in changes.items() if name not in timed})
    if now == was and schedule == before:
        return was
    now = replace(now, version=was.version + 1)
    await staff.update(uow, now, schedule)
    now = await _on_duty(uow, now, schedule)
    events.tell_presence(uow, now, now.presence, origin)
    return await _serve(uow, now, origin)


async def appear(
    uow: UnitOfWork, id: UUID, presence: Presence, origin: Origin, *, expected: int | None = None
) -> Agent:
    """An agent says whether they take tickets; whoever does gets what waits at once.

    Whoever goes offline hands back what they have not touched. `Overtaken` as with `remove_agent`.
    """
    if presence is Presence.OFFLINE:
        return await _go(uow, id, origin, expected)
    was = await _locked(uow, id, expected)
    await staff.speak(uow, id)
    if presence is was.presence:
        return was
    now = replace(was, presence=presence, presence_since=uow.now, version=was.version + 1)
    await staff.write_presences(uow, [now])
    events.tell_presence(uow, now, was.presence, origin)
    return await _serve(uow, now, origin)


async def _go(uow: UnitOfWork, id: UUID, origin: Origin, expected: int | None) -> Agent:
    held = await tickets.lock_untouched(uow, id)
    desk = await desk_for(uow, held, agents={id}, teams={case.assignment.team for case in held})
    if await tickets.untouched(uow, id) - desk.cases.keys():
        raise Overtaken
    was = desk.agents[id]
    check_version(expected, was.version)
    await staff.speak(uow, id)
    if was.presence is Presence.OFFLINE:
        return was
    desk.agents[id] = replace(
        was, presence=Presence.OFFLINE, presence_since=uow.now, version=was.version + 1
    )
    await staff.write_presences(uow, [desk.agents[id]])
    for case in held:
        desk.give_back(case.id, f"{was.name} went offline", ReleaseReason.AGENT_UNAVAILABLE)
    await finish(uow, desk, origin, dict.fromkeys(desk.cases, origin))
    events.tell_presence(uow, desk.agents[id], was.presence, origin)
    return desk.agents[id]


async def remove_agent(
    uow: UnitOfWork, id: UUID, origin: Origin, *, expected: int | None = None
) -> None:
    """An agent leaves for good: what they have goes to others, or back to its queue.

    `Overtaken` when they were given something meanwhile: begin again.
    """
    held = await tickets.lock_of(uow, id)
    stood = await staff.stood_in_for(uow, id)
    teams = {case.assignment.team for case in held}
    desk = await desk_for(uow, held, agents={id, *stood}, teams=teams)
    if await tickets.ids_of(uow, id) - desk.cases.keys():
        raise Overtaken
    was = desk.agents[id]
    check_version(expected, was.version)
    now = replace(was, presence=Presence.OFFLINE, presence_since=uow.now, version=was.version + 1)
    desk.agents[id] = now
    await staff.remove(uow, id)
    events.tell_presence(uow, now, was.presence, origin)
    for case in held:
        desk.give_back(case.id, f"{was.name} has left", ReleaseReason.AGENT_UNAVAILABLE)
    await finish(uow, desk, origin, dict.fromkeys(desk.cases, origin))


async def recount(uow: UnitOfWork, *, repair: bool) -> list[tuple[Agent, int, int]]:
    """Agents of whom number or weight of open tickets is not what these say; both as they say."""
    agents = await people.lock(uow, await people.all_ids(uow))
    counted = await people.counted(uow, [agent.id for agent in agents])
    wrong = [(a, *counted[a.id]) for a in agents if (a.open_tickets, a.load) != counted[a.id]]
    if repair:
        right = [replace(a, open_tickets=held, load=load) for a, held, load in wrong]
        await people.write_loads(uow, right)
    return wrong


async def _locked(uow: UnitOfWork, id: UUID, expected: int | None) -> Agent:
    found = await people.lock(uow, [id])
    if not found:
        raise UnknownAgent(id)
    check_version(expected, found[0].version)
    return found[0]


async def _on_duty(uow: UnitOfWork, agent: Agent, schedule: Schedule) -> Agent:
    """What the schedule of an agent whose row is ours means from now on."""
    found = duty(agent.id, schedule, uow.now)
    await staff.write_duties(uow, {agent.id: found})
    return replace(agent, on_duty=found.on, stand_in=found.stand_in)


async def _serve(uow: UnitOfWork, agent: Agent, origin: Origin) -> Agent:
    """Give an agent whose row is ours what waits for their teams; the agent afterwards."""
    if not agent.ready or not agent.room:
        return agent
    desk = await desk_for(uow, (), agents=[agent.id])
    await finish(uow, desk, origin)
    return desk.agents[agent.id]


async def _check_teams(uow: UnitOfWork, teams: Collection[str]) -> None:
    if missing := set(teams) - await ways.known_teams(uow, teams):
        named = ", ".join(sorted(missing))
        raise invalid_field("teams", f"must be teams that there are: not {named}")


async def _with_stand_ins(uow: UnitOfWork, own: str, schedule: Schedule) -> Schedule:
    """The same, with the stand-ins' ids by their addresses."""
    emails = {absence.stand_in_email for absence in schedule.absences if absence.stand_in_email}
    ids = await staff.ids_of(uow, emails) if emails else {}
    absences: list[Absence] = []
    for place, absence in enumerate(schedule.absences):
        email = absence.stand_in_email
        if email and (email == own or email not in ids):
            raise invalid_field(
                f"absences.{place}.stand_in",
                "must be somebody else" if email == own else "must be the address of an agent",
            )
        absences.append(replace(absence, stand_in=ids.get(email)))
    return replace(schedule, absences=tuple(absences))
