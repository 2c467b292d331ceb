"""kb's paths."""

from fastapi import APIRouter
from waybill_chassis.service import Runtime

from waybill_kb.http import articles, quick_replies, search
from waybill_kb.settings import Settings


def routers(rt: Runtime[Settings]) -> list[APIRouter]:
    """All of kb's routes."""
    return [articles.router(rt), search.router(rt), quick_replies.router(rt)]
