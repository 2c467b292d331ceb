"""The doors of sla: clocks, watching, reports, what was agreed, calendars, and the settings."""

from fastapi import APIRouter
from waybill_chassis.http import PerProduct, settings_routes
from waybill_chassis.service import Runtime

from waybill_sla.http import agreements, calendars, clocks, reports, simulations, watching
from waybill_sla.kept_settings import ProductSettings, SlaSettings
from waybill_sla.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of sla."""
    routes = APIRouter()
    for part in (clocks, agreements, calendars, reports, simulations, watching):
        routes.include_router(part.router(rt))
    per_product = PerProduct(ProductSettings)
    routes.include_router(settings_routes(rt.database, "sla", SlaSettings, per_product))
    return routes
