"""`/v1/intake/settings`, and `/v1/intake/settings/{product}`."""

from fastapi import APIRouter
from waybill_chassis.http import PerProduct, settings_routes
from waybill_chassis.service import Runtime

from waybill_intake.kept_settings import IntakeSettings, ProductSettings
from waybill_intake.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """What can be changed while intake runs."""
    per_product = PerProduct(ProductSettings, products_may=("custom_fields", "order_link"))
    return settings_routes(rt.database, "intake", IntakeSettings, per_product)
