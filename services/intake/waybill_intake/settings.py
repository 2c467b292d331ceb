"""What intake can be told by its environment."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field
from waybill_chassis.settings import ServiceSettings

from waybill_intake.domain.words import Priority


class Settings(ServiceSettings):
    """`WAYBILL_INTAKE_X` sets the field `x`; durations in ISO 8601, such as `PT24H`."""

    service: ClassVar[str] = "intake"

    default_product: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")
    """Of a ticket for which neither the body nor the token names one; empty: it is refused."""
    default_priority: Priority = Priority.MEDIUM
    triage_threshold: float = Field(default=0.8, ge=0, le=1)
    """How sure a suggestion must be to be applied."""
    duplicate_window: timedelta = Field(default=timedelta(hours=24), ge=timedelta(0))
    """Within what time the same text from the same submitter is the same ticket."""
    undo_merge_window: timedelta = Field(default=timedelta(hours=24), ge=timedelta(0))
    """For how long a merge can be undone."""
    rating_window: timedelta = Field(default=timedelta(days=14), ge=timedelta(0))
    """For how long after its closing a ticket can be rated."""
    action_link_lifetime: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """For how long the links in mails work."""
