"""The doors of intake: for people and products, and for the links in mails."""

from fastapi import APIRouter
from waybill_chassis.service import Runtime

from waybill_intake.http import actions, tickets
from waybill_intake.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of intake."""
    routes = APIRouter()
    for part in (tickets, actions):
        routes.include_router(part.router(rt))
    return routes
