"""What kb can be told by its environment."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings

from waybill_kb.domain.tickets import Windows


class Settings(ServiceSettings):
    """`WAYBILL_KB_X` sets the field `x`; durations in ISO 8601, such as `P7D`."""

    service: ClassVar[str] = "kb"

    duplicate_window: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How much older the same text of the same submitter may be to count as a duplicate."""
    repeat_window: timedelta = Field(default=timedelta(days=7), gt=timedelta(0))
    repeat_count: int = Field(default=3, ge=2, le=100)
    """From how many times on within the window the same issue is told as repeated."""
    similar_window: timedelta = Field(default=timedelta(days=90), gt=timedelta(0))
    """How old a ticket may be to be found as similar."""
    minimum_confidence: float = Field(default=0.2, ge=0.0, le=1.0)
    """An article below this is not suggested at all; a receipt has a threshold of its own."""
    intake_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    """How long intake may take to tell of a ticket that kb has not heard of."""

    def windows(self) -> Windows:
        """The times as the domain takes them."""
        return Windows(self.duplicate_window, self.repeat_window, self.repeat_count)
