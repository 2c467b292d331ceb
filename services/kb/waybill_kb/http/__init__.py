"""The HTTP edge: articles, search and suggestions, quick replies."""

from fastapi import APIRouter
from waybill_chassis.service import Runtime

from waybill_kb.http import articles, quick_replies, search
from waybill_kb.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of kb."""
    routes = APIRouter()
    for part in (articles, search, quick_replies):
        routes.include_router(part.router(rt))
    return routes
