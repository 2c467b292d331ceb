"""What intake can be told by its environment."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings

from waybill_intake.domain.words import Priority


class Settings(ServiceSettings):
    """`WAYBILL_INTAKE_X` sets the field `x`."""

    service: ClassVar[str] = "intake"

    default_product: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """Of a ticket for which neither the body nor the token names one; empty: it is refused."""
    default_priority: Priority = Priority.MEDIUM
    triage_threshold: float = Field(default=0.8, ge=0, le=1)
    """How sure a suggestion must be to be applied."""
    duplicate_hours: float = Field(default=24, ge=0)
    """Within how many hours the same text from the same submitter is the same ticket."""
    rating_days: float = Field(default=14, ge=0)
    """For how many days after its closing a ticket can be rated."""
    action_link_days: float = Field(default=30, gt=0)
    """For how many days the links in mails work."""

    reconcile_pause_seconds: float = Field(default=2.0, ge=0)
    """What differs from its owner is compared again after so long: it may be on its way."""

    @property
    def duplicates_within(self) -> timedelta:
        """`duplicate_hours` as a span."""
        return timedelta(hours=self.duplicate_hours)

    @property
    def ratings_within(self) -> timedelta:
        """`rating_days` as a span."""
        return timedelta(days=self.rating_days)

    @property
    def action_links_for(self) -> timedelta:
        """`action_link_days` as a span."""
        return timedelta(days=self.action_link_days)
