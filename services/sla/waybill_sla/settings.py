"""What sla can be told by its environment."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode
from waybill_chassis.settings import ServiceSettings

from waybill_sla.domain.policy import Rules
from waybill_sla.domain.words import FollowUp

_Wait = Annotated[timedelta, Field(gt=timedelta(0))]


class Settings(ServiceSettings):
    """`WAYBILL_SLA_X` sets the field `x`; durations in ISO 8601, such as `PT24H`."""

    service: ClassVar[str] = "sla"

    warn_shares: Annotated[tuple[float, ...], NoDecode] = (0.5, 0.75, 0.9)
    at_risk_share: float = Field(default=0.75, gt=0, lt=1, validate_default=True)
    reminder_1: _Wait = timedelta(hours=24)
    reminder_2: _Wait = timedelta(hours=72)
    auto_close_awaiting: _Wait = timedelta(days=7)
    auto_close_resolved: _Wait = timedelta(days=3)
    stream_wait_seconds: float = Field(default=2.0, ge=0, le=30)
    """How long a timer waits for what stood in the stream when it came due."""
    poll_seconds: float = Field(default=0.5, gt=0, le=10)
    """How often the timers are looked at when nothing wakes them."""
    intake_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to tell of a ticket that sla has not heard of."""
    timer_batch: int = Field(default=500, ge=1, le=5000)

    @field_validator("warn_shares", mode="before")
    @classmethod
    def _split_shares(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("warn_shares")
    @classmethod
    def _sensible_shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share < 1 for share in value):
            raise ValueError("use shares between 0 and 1, such as 0.5,0.75,0.9")
        return tuple(sorted(set(value)))

    @field_validator("at_risk_share")
    @classmethod
    def _told_by_a_warning(cls, value: float, info: ValidationInfo) -> float:
        if value not in info.data.get("warn_shares", (value,)):
            raise ValueError("use one of the warn_shares: a warning is what tells of the risk")
        return value

    def rules(self) -> Rules:
        """The numbers as the domain takes them."""
        return Rules(
            shares=self.warn_shares,
            at_risk_share=self.at_risk_share,
            follow_ups={
                FollowUp.REMINDER_1: self.reminder_1,
                FollowUp.REMINDER_2: self.reminder_2,
                FollowUp.AUTO_CLOSE_AWAITING: self.auto_close_awaiting,
                FollowUp.AUTO_CLOSE_RESOLVED: self.auto_close_resolved,
            },
        )
