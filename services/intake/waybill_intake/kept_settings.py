"""What can be changed while intake runs: for all tickets, and for those of a product."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from waybill_chassis.problems import Invalid
from waybill_chassis.stored_settings import Snapshot
from waybill_chassis.validation import Duration, RequestModel

from waybill_intake.attachments.kinds import DEFAULT as DEFAULT_TYPES
from waybill_intake.domain import product_settings as rules
from waybill_intake.domain.attachments import MOST_FILES
from waybill_intake.domain.custom_fields import CustomFields, SchemaFault
from waybill_intake.domain.words import Priority, TicketType

_NOTHING = timedelta()
MediaType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")]


class Changeable(BaseModel):
    """What the environment sets, and the database may set anew."""

    default_priority: Priority = Priority.MEDIUM
    """Of a ticket that names none, where its product says nothing else."""
    triage_threshold: float = Field(default=0.8, ge=0, le=1)
    """How sure a suggestion must be to be applied."""
    duplicate_window: Duration = Field(default=timedelta(hours=24), ge=_NOTHING)
    """Within what time the same text from the same submitter is the same ticket."""
    merge_similar: float | None = Field(default=None, ge=0, le=1)
    """How similar tickets must be to be merged by themselves; null: only the same text is."""
    undo_merge_window: Duration = Field(default=timedelta(hours=24), ge=_NOTHING)
    """For how long a merge can be undone."""
    follow_up_on_closed: bool = True
    """Whether an answer to a closed ticket opens one that follows it; else it is refused."""
    rating_window: Duration = Field(default=timedelta(days=14), ge=_NOTHING)
    """For how long after its closing a ticket can be rated."""
    action_link_lifetime: Duration = Field(default=timedelta(days=30), gt=_NOTHING)
    """For how long the links in mails work."""
    attachments_types: Annotated[tuple[MediaType, ...], Field(max_length=200)] = DEFAULT_TYPES
    """The media types of files that are taken."""
    attachments_max_files: int = Field(default=MOST_FILES, ge=0, le=MOST_FILES)
    """How many files may come with an opening or a message."""
    attachments_max_waiting: int = Field(default=100, ge=1, le=1_000_000)
    """How many uploads of one person or product may be attached to nothing."""
    attachments_wait: Duration = Field(default=timedelta(hours=24), gt=_NOTHING)
    """How long an upload waits to be attached."""
    attachment_link_lifetime: Duration = Field(default=timedelta(hours=1), gt=_NOTHING)
    """How long a link to a file works."""


class IntakeSettings(RequestModel, Changeable):
    """The settings that count for all tickets."""


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    try:
        CustomFields(value)
    except SchemaFault as fault:
        raise PydanticCustomError(
            "json_schema", "{message}", {"message": fault.message, "path": fault.path}
        ) from None
    return value


def _link(value: str) -> str:
    if fault := rules.order_link_fault(value):
        raise ValueError(fault)
    return value


def _tiers(value: dict[str, Priority]) -> dict[str, Priority]:
    return {tier.lower(): priority for tier, priority in value.items()}


class ProductSettings(RequestModel):
    """The settings that count for a product's tickets."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    defaults: dict[TicketType, Priority] = Field(default_factory=dict)
    """The priority with which a ticket of a type begins when it names none."""
    tiers: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=50)], Priority],
        Field(default_factory=dict, max_length=50),
        AfterValidator(_tiers),
    ]
    """With what priority at least it begins then for a submitter of a tier, such as gold."""
    custom_fields: Annotated[dict[str, Any], AfterValidator(_schema)] | None = None
    """The JSON Schema (2020-12) of `custom_fields`; null: anything goes."""
    order_link: Annotated[str, StringConstraints(max_length=500), AfterValidator(_link)] | None = (
        None
    )
    """Where an order is found, such as https://shop.example/orders/{ref}; null: no links."""

    @cached_property
    def checked(self) -> CustomFields | None:
        """The check that the schema means."""
        return None if self.custom_fields is None else CustomFields(self.custom_fields)


def default_priority(settings: Snapshot, product: str, type: TicketType, tier: str) -> Priority:
    """The priority of a ticket that names none."""
    own = settings.of(ProductSettings, product)
    usual = own.defaults.get(type) or settings.of(IntakeSettings).default_priority
    return rules.starting_priority(usual, own.tiers.get(tier.lower()))


def check_custom_fields(settings: Snapshot, product: str, values: Mapping[str, Any]) -> None:
    """Raise `Invalid` naming each field that does not fit the product's schema."""
    checked = settings.of(ProductSettings, product).checked
    if checked is None or not (faults := checked.faults(values)):
        return
    if len(faults) == 1:
        raise Invalid("{field} {message}.".format_map(faults[0]), errors=faults)
    raise Invalid(f"{len(faults)} custom fields are wrong.", errors=faults)


def order_links(settings: Snapshot, product: str, refs: Sequence[str]) -> list[dict[str, str]]:
    """Where a ticket's orders are found, as far as its product has said."""
    link = settings.of(ProductSettings, product).order_link
    return [{"ref": ref, "url": rules.order_url(link, ref)} for ref in refs] if link else []
