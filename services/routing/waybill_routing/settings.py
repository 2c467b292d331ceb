"""What routing can be told by its environment."""

from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """`WAYBILL_ROUTING_X` sets the field `x`."""

    service: ClassVar[str] = "routing"

    default_capacity: int = Field(default=200, ge=1, le=100_000)
    """How many open tickets an agent can hold who is added without a number."""
    sweep_seconds: float = Field(default=2.0, gt=0, le=60)
    """How often what waits is looked through for what somebody could have by now."""
    intake_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to tell of a ticket that routing has not heard of."""
