"""The HTTP edge: agents, teams, queues, rules, and who has a ticket."""

from fastapi import APIRouter
from waybill_chassis.service import Runtime

from waybill_routing.http import agents, assignments, ways
from waybill_routing.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of routing."""
    routes = APIRouter()
    for part in (agents, assignments, ways):
        routes.include_router(part.router(rt))
    return routes
