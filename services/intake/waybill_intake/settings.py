"""What intake can be told by its environment."""

from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings

from waybill_intake.kept_settings import Changeable


class Settings(ServiceSettings, Changeable):
    """`WAYBILL_INTAKE_X` sets the field `x`; durations in ISO 8601, such as `PT24H`.

    What is `Changeable` counts until the database says otherwise.
    """

    service: ClassVar[str] = "intake"

    default_product: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """Of a ticket for which neither the body nor the token names one; empty: it is refused."""
    page_timeout_seconds: float = Field(default=0.8, gt=0, le=10)
    """How long a ticket's page waits for the parts that other services keep, all together."""
    quick_reply_timeout_seconds: float = Field(default=0.8, gt=0, le=10)
    """How long kb is waited for when it fills in a quick reply."""
