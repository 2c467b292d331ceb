"""What sla can be told by its environment."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode
from waybill_chassis.settings import ServiceSettings

from waybill_sla.kept_settings import Changeable, Shares


class Settings(ServiceSettings, Changeable):
    """`WAYBILL_SLA_X` sets the field `x`; durations in ISO 8601, such as `PT24H`.

    What is `Changeable` counts until the database says otherwise.
    """

    service: ClassVar[str] = "sla"

    warn_shares: Annotated[Shares, NoDecode] = (0.5, 0.75, 0.9)
    at_risk_share: float = Field(default=0.75, gt=0, lt=1, validate_default=True)
    stream_wait_seconds: float = Field(default=2.0, ge=0, le=30)
    """How long a timer waits for what stood in the stream when it came due."""
    poll_seconds: float = Field(default=0.5, gt=0, le=10)
    """How often the timers are looked at when nothing wakes them."""
    intake_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to tell of a ticket that sla has not heard of."""
    timer_batch: int = Field(default=200, ge=1, le=5000)

    @field_validator("warn_shares", mode="before")
    @classmethod
    def _split_shares(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("at_risk_share")
    @classmethod
    def _told_by_a_warning(cls, value: float, info: ValidationInfo) -> float:
        if value not in info.data.get("warn_shares", (value,)):
            raise ValueError("use one of the warn_shares: a warning is what tells of the risk")
        return value
