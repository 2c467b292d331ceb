"""What lists and reports of targets can be narrowed to: one vocabulary for both."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from waybill_chassis.auth import Principal
from waybill_chassis.problems import NotFound, invalid_field

from waybill_sla.domain.watching import Scope
from waybill_sla.domain.words import Priority, TargetKind
from waybill_sla.policies import TicketType

T = TypeVar("T")


def _several(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


Several = Annotated[list[T], Field(max_length=50), BeforeValidator(_several)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=254, strip_whitespace=True)]


class TargetFilter(BaseModel):
    """Which targets: all that is given must hold; of several values of a field one must."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Several[Slug] = Field([], description="Slugs of products.")
    type: Several[TicketType] = Field([], description="One of these types.")
    priority: Several[Priority] = Field([], description="One of these priorities.")
    target: Several[TargetKind] = Field([], description="One of these targets.")
    team: Several[Slug] = Field([], description="The team that has the ticket, or had it then.")
    agent: Several[Word] = Field(
        [], description="Who has the ticket, or had it then: an address, an id, or `me`."
    )

    def scope(self, caller: Principal) -> Scope:
        """What this caller sees with it; `NotFound` for a product that is not theirs to see."""
        for product in self.product:
            if not caller.can_see_product(product):
                raise NotFound(
                    f"There is no product {product}, or none that you may see.", product=product
                )
        return Scope(
            products=_some(self.product or caller.readable_products),
            types=_some(self.type or None),
            priorities=_some(self.priority or None),
            targets=_some(self.target or None),
            teams=_some(self.team or None),
            agents=_some([_me(one, caller) for one in self.agent] or None),
        )


def _some(values: Sequence[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(str(value) for value in values)


def _me(value: str, caller: Principal) -> str:
    if value != "me":
        return value.lower()
    if caller.address is None:
        raise invalid_field("agent", "must be an address or an id: your token names no address")
    return caller.address
