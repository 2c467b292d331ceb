"""`/v1/routing/settings`."""

from fastapi import APIRouter
from waybill_chassis.http import settings_routes
from waybill_chassis.service import Runtime

from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """What can be changed while routing runs."""
    return settings_routes(rt.database, "routing", RoutingSettings)
