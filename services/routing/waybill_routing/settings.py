"""What routing can be told by its environment."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator
from pydantic_settings import NoDecode
from waybill_chassis.settings import ServiceSettings

from waybill_routing.domain import Priority
from waybill_routing.kept_settings import Changeable, Weight


class Settings(ServiceSettings, Changeable):
    """`WAYBILL_ROUTING_X` sets the field `x`; durations in ISO 8601, such as `PT15M`.

    What is `Changeable` counts until the database says otherwise.
    """

    service: ClassVar[str] = "routing"

    weights: Annotated[dict[Priority, Weight], NoDecode] = Field(default_factory=dict)
    sweep_seconds: float = Field(default=2.0, gt=0, le=60)
    """How often what waits is looked through for what somebody could have by now."""
    intake_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to tell of a ticket that routing has not heard of."""
    sla_timeout_seconds: float = Field(default=0.5, gt=0, le=10)
    """How long sla may take to tell how much time tickets have that wait."""

    @field_validator("weights", mode="before")
    @classmethod
    def _split_weights(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(number.strip().isdecimal() for _, _, number in parts):
            raise ValueError("use priorities with their weights, such as urgent=3,high=2")
        return {name.strip(): int(number) for name, _, number in parts}
