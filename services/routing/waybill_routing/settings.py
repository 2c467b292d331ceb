"""What routing can be told."""

from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """Routing's own settings: `WAYBILL_ROUTING_X` sets the field `x`."""

    service: ClassVar[str] = "routing"

    default_capacity: int = Field(default=200, ge=1, le=100_000)
    """How many open tickets an agent can hold who is added without a number."""
    sweep_seconds: float = Field(default=2.0, gt=0, le=60)
    """How often what waits is looked through for what somebody could have by now."""
    intake_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to answer about a ticket that routing does not know yet."""
    reconcile_pause_seconds: float = Field(default=2.0, ge=0, le=60)
    """After what time a difference is looked at again before it counts."""
