"""What can be changed while sla runs: warnings and follow-ups, and a product's own follow-ups."""

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError
from waybill_chassis.stored_settings import Snapshot
from waybill_chassis.validation import Duration, RequestModel

from waybill_sla.domain.policy import Rules
from waybill_sla.domain.words import FollowUp

AGREEMENTS = "*agreements"
"""The scope whose version tells that policies or ladders were changed; no product is called so."""

_Wait = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=3660))]


def _sensible(value: tuple[float, ...]) -> tuple[float, ...]:
    if not value or not all(0 < share < 1 for share in value):
        raise ValueError("use shares between 0 and 1, such as 0.5,0.75,0.9")
    return tuple(sorted(set(value)))


Shares = Annotated[tuple[float, ...], Field(max_length=20), AfterValidator(_sensible)]


class Changeable(BaseModel):
    """What the environment sets, and the database may set anew."""

    warn_shares: Shares = (0.5, 0.75, 0.9)
    """Shares of a target's time at which a warning is given."""
    at_risk_share: float = Field(default=0.75, gt=0, lt=1)
    """From here on a target is `at_risk`; one of the shares above."""
    reminder_1: _Wait = timedelta(hours=24)
    """How long after the last public word in `awaiting_user` the first reminder is due."""
    reminder_2: _Wait = timedelta(hours=72)
    """The same for the second."""
    auto_close_awaiting: _Wait = timedelta(days=7)
    """How long after the last public word in `awaiting_user` the ticket is closed."""
    auto_close_resolved: _Wait = timedelta(days=3)
    """How long after the last public word in `resolved` the ticket is closed."""


class SlaSettings(RequestModel, Changeable):
    """The settings that count for all tickets."""

    @model_validator(mode="after")
    def _told_by_a_warning(self) -> Self:
        # A body that names one of the two is judged once what it leaves out is filled in.
        given = {"warn_shares", "at_risk_share"} <= self.model_fields_set
        if given and self.at_risk_share not in self.warn_shares:
            raise PydanticCustomError(
                "at_risk_share",
                "must be one of the warn_shares: a warning is what tells of the risk",
                {"path": ("at_risk_share",)},
            )
        return self


class OwnFollowUps(RequestModel):
    """After how long a product's users are reminded and its tickets closed; null: as usual."""

    reminder_1: _Wait | None = None
    reminder_2: _Wait | None = None
    auto_close_awaiting: _Wait | None = None
    auto_close_resolved: _Wait | None = None


class ProductSettings(RequestModel):
    """The settings that count for a product's tickets."""

    follow_ups: OwnFollowUps = OwnFollowUps()


def rules(settings: Snapshot) -> Rules:
    """The numbers in force, as the domain takes them."""
    usual = settings.of(SlaSettings)
    return Rules(
        shares=usual.warn_shares,
        at_risk_share=usual.at_risk_share,
        follow_ups={kind: getattr(usual, kind) for kind in FollowUp},
        own_follow_ups={
            product: own
            for product in settings.scopes
            if product not in ("", AGREEMENTS)
            and (own := _own(settings.of(ProductSettings, product).follow_ups))
        },
    )


def _own(given: OwnFollowUps) -> dict[FollowUp, Any]:
    waits = {kind: getattr(given, kind) for kind in FollowUp}
    return {kind: wait for kind, wait in waits.items() if wait is not None}
