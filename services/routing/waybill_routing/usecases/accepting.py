"""What an agent was given has to be taken in hand within a set time, or goes to somebody else."""

from waybill_chassis.causes import Origin, automation, timer_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id

from waybill_routing.domain import ReleaseReason
from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.store import accepting
from waybill_routing.usecases.desks import desk_for, finish

_MOST = 500
"""Tickets that one transaction takes back."""


async def recall(uow: UnitOfWork) -> int:
    """Take back what was not accepted in time; how many tickets.

    What somebody holds at this moment, such as its agent by accepting it, is looked at again later.
    """
    await accepting.offer_again(uow, _MOST)
    within = (await uow.settings()).of(RoutingSettings).accept_within
    if within is None:
        return 0
    late = await accepting.lock_late(uow, uow.now - within, _MOST)
    if not late:
        return 0
    owners = {owner for case in late if (owner := case.assignment.agent_id)}
    desk = await desk_for(uow, late, agents=owners, teams={one.assignment.team for one in late})
    minutes = round(within.total_seconds() / 60)
    for case in late:
        name = desk.agents[case.assignment.agent_id or case.id].name
        why = f"{name} did not accept it within {minutes} min"
        desk.give_back(case.id, why, ReleaseReason.NOT_ACCEPTED, until=uow.now + within)
    await finish(uow, desk, Origin(automation("routing"), timer_cause("acceptance", new_id())))
    return len(late)
