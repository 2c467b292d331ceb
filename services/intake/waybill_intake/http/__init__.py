"""The doors of intake: for people and products, and for the links in mails."""

from fastapi import APIRouter
from waybill_chassis.service import Runtime

from waybill_intake.attachments.objects import Objects
from waybill_intake.http import (
    acts,
    attachments,
    bulk,
    conversation,
    export,
    links,
    listing,
    opening,
    page,
    people,
    playbooks,
    saved_views,
    settings,
    single,
    stats,
    suspicions,
    watchers,
)
from waybill_intake.settings import Settings


def router(rt: Runtime[Settings], objects: Objects) -> APIRouter:
    """All routes of intake."""
    routes = APIRouter()
    for part in (
        opening,
        listing,
        export,
        bulk,
        saved_views,
        page,
        single,
        conversation,
        acts,
        playbooks,
        settings,
        people,
        watchers,
        suspicions,
        stats,
        links,
    ):
        routes.include_router(part.router(rt))
    routes.include_router(attachments.router(rt, objects))
    return routes
