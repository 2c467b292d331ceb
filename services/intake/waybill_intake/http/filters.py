"""What lists of tickets can be narrowed to: one vocabulary for addresses and for saved views."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.auth import Principal
from waybill_chassis.http import Instant
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import Forbidden, NotFound, invalid_field

from waybill_intake import access
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    Outcome,
    Priority,
    Status,
    TicketType,
)
from waybill_intake.store import saved_views
from waybill_intake.store.finding.asked import Filter, Order, Sort
from waybill_intake.store.saved_views import SavedView

T = TypeVar("T")

_MOST_VALUES = 50
_TIMES = ("created", "updated", "resolved", "closed", "due")
_DEFAULT_ORDER = {Sort.DUE: Order.ASC}


def _several(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


Several = Annotated[list[T], Field(max_length=_MOST_VALUES), BeforeValidator(_several)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=254, strip_whitespace=True)]


class TargetState(StrEnum):
    """Where a target can stand."""

    RUNNING = "running"
    AT_RISK = "at_risk"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class EscalationLevel(StrEnum):
    """How far up a ticket can be."""

    SENIOR_SUPPORT = "senior_support"
    TECH_TEAM = "tech_team"
    MANAGEMENT = "management"
    CROSS_DEPARTMENT = "cross_department"


class TicketFilter(BaseModel):
    """Which tickets: all that is given must hold; of several values of a field one must.

    A time `..._from` is included, a time `..._to` is not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Several[Status] = Field([], description="One of these statuses; `closed` is archived.")
    product: Several[Word] = Field([], description="Slugs of products.")
    type: Several[TicketType] = Field([], description="One of these types.")
    priority: Several[Priority] = Field([], description="One of these priorities.")
    channel: Several[Channel] = Field([], description="How it came in.")
    language: Several[Word] = Field([], description="Language tags such as `en`.")
    tag: Several[Word] = Field([], description="One of these tags.")
    tag_all: Several[Word] = Field([], description="All of these tags.")
    assignee: Several[Word] = Field([], description="Ids, e-mail addresses, or `me`.")
    unassigned: bool = Field(False, description="`true`: open tickets that nobody has.")
    team: Several[Word] = Field([], description="Names of the teams that have them.")
    submitter: Several[Word] = Field([], description="Ids or e-mail addresses.")
    submitter_tier: Several[Word] = Field([], description="What the submitter was at the opening.")
    watcher: Several[Word] = Field([], description="E-mail addresses, or `me`.")
    order_ref: Several[Word] = Field([], description="One of these orders.")
    external_ref: Several[Word] = Field([], description="What products call them.")
    escalation_level: Several[EscalationLevel] = Field([], description="How far up they are.")
    close_reason: Several[CloseReason] = Field([], description="Why they were closed.")
    outcome: Several[Outcome] = Field([], description="Of complaints and suggestions.")
    rating_from: int | None = Field(None, ge=1, le=5, description="The lowest score.")
    rating_to: int | None = Field(None, ge=1, le=5, description="The highest score, included.")
    response_state: Several[TargetState] = Field([], description="Of the first response.")
    resolution_state: Several[TargetState] = Field([], description="Of the resolution.")
    custom: Several[Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^=]+=")]] = Field(
        [], description="Custom fields, as `name=value`: of one name one value, of all names one."
    )
    created_from: Instant | None = Field(None, description="From this moment on: it was opened.")
    created_to: Instant | None = Field(None, description="Before this moment: it was opened.")
    updated_from: Instant | None = Field(None, description="From this moment on: its last change.")
    updated_to: Instant | None = Field(None, description="Before this moment: its last change.")
    resolved_from: Instant | None = Field(None, description="From this moment on: it was resolved.")
    resolved_to: Instant | None = Field(None, description="Before this moment: it was resolved.")
    closed_from: Instant | None = Field(None, description="From this moment on: its closing.")
    closed_to: Instant | None = Field(None, description="Before this moment: its closing.")
    due_from: Instant | None = Field(
        None, description="From this moment on: the nearest target that runs is due."
    )
    due_to: Instant | None = Field(None, description="Before this moment: the same.")
    q: Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)] = Field(
        "",
        description='Words in title, description or public messages; `"a phrase"`, `or`, `-not`; '
        "or a number such as `WB-1042`.",
    )

    def given(self) -> dict[str, Any]:
        """What narrows anything, as JSON has it."""
        names = TicketFilter.model_fields
        return self.model_dump(mode="json", include=set(names), exclude_defaults=True)

    def wanted(self, caller: Principal) -> Filter:
        """What this caller finds with it: submitters among their own, others in their products."""
        own = access.standing(caller) is ActorKind.SUBMITTER
        if own and (self.assignee or set(self.watcher) - {"me"}):
            raise Forbidden("Only agents look for tickets by who has or watches them.")
        _searchable(self.q)
        return Filter(
            products=self._products(None if own else caller.readable_products),
            own=access.address_of(caller) if own else None,
            statuses=[status.value for status in self.status],
            facets=tuple(self._facets(caller)),
            submitters=[*_people("submitter", self.submitter)],
            spans={name: span for name in _TIMES if any(span := self._span(name))},
            text=self.q,
        )

    def _products(self, readable: Sequence[str] | None) -> Sequence[str] | None:
        if not self.product:
            return readable
        return [one for one in self.product if readable is None or one in readable]

    def _facets(self, caller: Principal) -> Iterator[tuple[str, Sequence[str]]]:
        lowest, highest = self.rating_from or 1, self.rating_to or 5
        ranged = self.rating_from is not None or self.rating_to is not None
        if ranged and lowest > highest:
            raise invalid_field("rating_to", "must not be less than rating_from")
        asked: dict[str, Sequence[str]] = {
            "type": self.type,
            "priority": self.priority,
            "channel": self.channel,
            "language": _lower(self.language),
            "tag": _lower(self.tag),
            "agent": [_me(one, caller) for one in self.assignee],
            "unassigned": ["yes"] if self.unassigned else [],
            "team": self.team,
            "tier": self.submitter_tier,
            "watcher": [_me(one, caller) for one in self.watcher],
            "order": self.order_ref,
            "ref": self.external_ref,
            "level": self.escalation_level,
            "reason": self.close_reason,
            "outcome": self.outcome,
            "rating": [str(one) for one in range(lowest, highest + 1)] if ranged else [],
            "response": self.response_state,
            "resolution": self.resolution_state,
        }
        for name, values in asked.items():
            if values:
                yield name, [str(value) for value in values]
        for tag in _lower(self.tag_all):
            yield "tag", [tag]
        names = dict.fromkeys(one.partition("=")[0] for one in self.custom)
        for name in names:
            yield "custom", [one for one in self.custom if one.partition("=")[0] == name]

    def _span(self, name: str) -> tuple[datetime | None, datetime | None]:
        return getattr(self, f"{name}_from"), getattr(self, f"{name}_to")


class Chosen(TicketFilter):
    """A filter of an address, which may begin with a saved view's."""

    view: UUID | None = Field(None, description="A saved view; what is given besides replaces.")


class Sorted(Chosen):
    """A filter with a sorting."""

    sort: Sort | None = Field(None, description="Default: `created`, or the view's.")
    order: Order | None = Field(
        None, description="Default: `desc`, the newest or most urgent first; of `due` `asc`."
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request asks for in the end."""

    filter: TicketFilter
    sort: Sort
    order: Order

    def digest(self) -> str:
        """The question in a few letters: a cursor of another one is none of this list."""
        question = to_json([self.filter.given(), self.sort, self.order])
        return sha256(question).hexdigest()[:16]


async def asking(connection: AsyncConnection, caller: Principal, query: Chosen) -> Asking:
    """The filter and sorting of an address, on top of its view's; `NotFound` for no such view."""
    given = TicketFilter.model_validate(query.given())
    sort = order = None
    if isinstance(query, Sorted):
        sort, order = query.sort, query.order
    if query.view is not None:
        view = await saved_views.read(connection, query.view)
        if view is None or not can_see(caller, view):
            raise NotFound(f"There is no view {query.view}.")
        given = TicketFilter.model_validate({**view.filter, **given.given()})
        order = order or (view.direction if sort in (None, view.sort) else None)
        sort = sort or view.sort
    sort = sort or Sort.CREATED
    return Asking(given, sort, order or default_order(sort))


def default_order(sort: Sort) -> Order:
    """Which way round a list is sorted if nobody says."""
    return _DEFAULT_ORDER.get(sort, Order.DESC)


def identity(caller: Principal) -> str:
    """By what an agent's own views are known."""
    return caller.address or caller.subject


def can_see(caller: Principal, view: SavedView) -> bool:
    """Whether a view is there for the caller: their own, or a team's for one of their products."""
    if not caller.has("agent"):
        return False
    if view.owner is not None:
        return view.owner == identity(caller)
    return any(map(caller.can_see_product, view.products))


def _lower(values: Sequence[str]) -> list[str]:
    return [value.lower() for value in values]


def _me(value: str, caller: Principal) -> str:
    if value == "me":
        return access.address_of(caller)
    return value.lower() if "@" in value else value


def _people(field: str, values: Sequence[str]) -> Iterator[UUID | str]:
    for index, value in enumerate(values):
        if found := parse_id(value):
            yield found
        elif "@" in value:
            yield value.lower()
        else:
            raise invalid_field(f"{field}.{index}", "must be an id or an e-mail address")


def _searchable(q: str) -> None:
    """Raise `Invalid` for words of which none is to be found: that is no search but everything."""
    terms = re.findall(r'(-?)("[^"]*"?|\S+)', q)
    if terms and all(minus for minus, _ in terms):
        raise invalid_field("q", "must have a word that is to be found, not only some to leave out")
