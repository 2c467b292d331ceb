"""What can be changed while routing runs."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field
from waybill_chassis.validation import Duration, RequestModel

from waybill_routing.domain import Priority

Weight = Annotated[int, Field(ge=1, le=100)]


class Changeable(BaseModel):
    """What the environment sets, and the database may set anew."""

    default_capacity: int = Field(default=200, ge=1, le=100_000)
    """How much an agent can hold who is added without a number."""
    weights: dict[Priority, Weight] = Field(default_factory=dict)
    """What a ticket of a priority counts for whoever has it; 1 where nothing is said."""
    away_after: Duration | None = Field(default=timedelta(minutes=15), ge=timedelta(minutes=2))
    """After how long without a sign of life an agent is away; null: never."""
    accept_within: Duration | None = Field(default=None, ge=timedelta(minutes=1))
    """How long an agent who is there may leave a ticket untouched that they were given."""


class RoutingSettings(RequestModel, Changeable):
    """The settings that count for all."""
