"""Who is there as time passes: shifts begin and end, agents fall silent and are heard again."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from waybill_chassis.causes import Origin, automation, timer_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id

from waybill_routing import events
from waybill_routing.domain import Agent, Presence, duty
from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.store import people, staff
from waybill_routing.usecases.desks import desk_for, finish

_MOST = 500
"""Agents that one transaction holds."""


async def see(uow: UnitOfWork, emails: Collection[str], at: datetime) -> None:
    """These people did something: the last rows that a transaction locks."""
    if emails:
        await staff.see(uow, emails, at)


async def keep_duty(uow: UnitOfWork) -> int:
    """Begin and end what begins and ends by now; how many agents it concerned."""
    agents = await people.lock(uow, await staff.due(uow, _MOST))
    schedules = await staff.schedules(uow.connection, [agent.id for agent in agents])
    duties = {agent.id: duty(agent.id, schedules[agent.id], uow.now) for agent in agents}
    await staff.write_duties(uow, duties)
    origin = _timer("duty")
    for agent in agents:
        found = duties[agent.id]
        after = replace(agent, on_duty=found.on, stand_in=found.stand_in)
        events.tell_presence(uow, after, after.presence, origin)
    await _serve(uow, [agent.id for agent in agents if duties[agent.id].on], origin)
    return len(agents)


async def hush(uow: UnitOfWork) -> int:
    """Whoever is said to be there and gave no sign of life for too long is away; how many."""
    after = (await uow.settings()).of(RoutingSettings).away_after
    if after is None:
        return 0
    agents = await people.lock(uow, await staff.silent(uow, uow.now - after, _MOST))
    there = [one for one in agents if one.presence in (Presence.AVAILABLE, Presence.BUSY)]
    known = {agent.id: agent.presence for agent in there}
    await _turn(uow, there, dict.fromkeys(known, Presence.AWAY), known)
    return len(there)


async def wake(uow: UnitOfWork) -> int:
    """Whoever was silent and did something since is again what they were; how many."""
    found = await people.lock(uow, await staff.heard_again(uow, _MOST))
    # Once more: one who said something for themselves meanwhile is as they said.
    known = await staff.heard_again(uow, _MOST)
    agents = [agent for agent in found if agent.id in known]
    await _turn(uow, agents, known, {})
    await _serve(uow, [agent.id for agent in agents], _timer("silence"))
    return len(agents)


async def _turn(
    uow: UnitOfWork,
    agents: Sequence[Agent],
    to: dict[UUID, Presence],
    silent_from: dict[UUID, Presence],
) -> None:
    origin = _timer("silence")
    turned = [
        replace(one, presence=to[one.id], presence_since=uow.now, version=one.version + 1)
        for one in agents
    ]
    await staff.write_presences(uow, turned, silent_from)
    for before, after in zip(agents, turned, strict=True):
        events.tell_presence(uow, after, before.presence, origin)


async def _serve(uow: UnitOfWork, ids: Collection[UUID], origin: Origin) -> None:
    """Give these agents, whose rows are ours, what waits for their teams."""
    if ids:
        await finish(uow, await desk_for(uow, (), agents=ids), origin)


def _timer(kind: str) -> Origin:
    return Origin(automation("routing"), timer_cause(kind, new_id()))
