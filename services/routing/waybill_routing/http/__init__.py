"""The HTTP edge: agents, teams, queues, rules, and who has a ticket."""

from fastapi import APIRouter, Depends
from waybill_chassis.http import MaybeCaller
from waybill_chassis.service import Runtime

from waybill_routing.http import agents, assignments, rules, settings, staffing, ways
from waybill_routing.settings import Settings
from waybill_routing.sightings import Sightings


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of routing."""
    sightings = Sightings(rt.database)

    async def seen(caller: MaybeCaller) -> None:
        if caller is not None and caller.has("agent"):
            await sightings.see(caller)

    routes = APIRouter(dependencies=[Depends(seen)])
    for part in (agents, assignments, ways, rules, staffing, settings):
        routes.include_router(part.router(rt))
    return routes
