"""What a list is of, as a condition in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from waybill_chassis.lookup import parse_number

from waybill_intake.store.finding.kept import CONFIGURATION, HASTE, facet


class Sort(StrEnum):
    """What a list is sorted by; `priority` is the most urgent first and the oldest of them."""

    CREATED = "created"
    UPDATED = "updated"
    PRIORITY = "priority"
    DUE = "due"


class Order(StrEnum):
    """Which way round."""

    ASC = "asc"
    DESC = "desc"


Span = tuple[datetime | None, datetime | None]
"""From a moment on, until before another one; None leaves an end open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which tickets a list is of; what is left out, or empty, narrows nothing."""

    products: Sequence[str] | None = None
    """None for all there are; with none at all in it nothing is found."""
    own: str | None = None
    """The address of the submitter whose list it is."""
    statuses: Sequence[str] = ()
    facets: Sequence[tuple[str, Sequence[str]]] = ()
    """Fields with values of which a ticket has one at least."""
    submitters: Sequence[UUID | str] = ()
    """Ids and addresses."""
    spans: Mapping[str, Span] = field(default_factory=dict)
    """By `created`, `updated`, `resolved`, `closed`, `due`."""
    text: str = ""
    """Words to search for, as people type them into a search box, or a ticket's number."""


# What one moment says of another: a ticket is opened before anything else happens to it, and what
# happened last was its last change. Said of the moment that a list is sorted by: the planner would
# else walk through all that a range of another moment leaves out.
_EARLIER = {"created": ("updated", "resolved", "closed")}
_LATER = {"updated": ("created", "resolved", "closed")}
_OPEN = ("pending", "in_progress", "awaiting_user", "resolved")
_CLOSED = ("closed",)
# What only open tickets have, or only closed ones.
_STATUSES = {"unassigned": _OPEN, "due": _OPEN, "reason": _CLOSED, "rating": _CLOSED,
             "closed": _CLOSED}  # fmt: skip
_IDS = "SELECT id FROM submitters WHERE email"
_KINDS = {UUID: "uuid", datetime: "timestamptz", int: "bigint"}


class Asked:
    """A filter as SQL, with the parameters that it names."""

    def __init__(self, filter: Filter, *, sort: Sort | None = None, prefix: str = "") -> None:
        """`prefix` keeps the parameters of several filters in one statement apart."""
        self.parameters: dict[str, Any] = {}
        self._prefix = prefix
        # Conditions on the list, on the text, and (`@.`) on either, which both know.
        self._list: list[str] = []
        self._text: list[str] = []
        self._both: list[str] = []
        self._statuses = _statuses(filter)
        self._products(filter.products)
        self._people(filter)
        self._facets(filter.facets)
        for name, (since, until) in filter.spans.items():
            self._between(name, since, until)
            if name == "due":
                self._list.append("l.due_at < 'infinity'")
        if sort is not None:
            self._implied(filter, sort)
        if number := parse_number(filter.text):
            own = f"(SELECT id FROM tickets WHERE number = {self._put(number)})"
            self._both.append(f"@.ticket_id = {own}")
        elif filter.text:
            query = f"websearch_to_tsquery('{CONFIGURATION}', {self._put(filter.text)})"
            self._text.append(f"@.document @@ {query}")
        # What only the text is asked for, it answers alone.
        self._alone = bool(self._text) and not self._list and sort in (None, Sort.CREATED)

    def parts(self) -> list[str]:
        """Sources and conditions that find tickets `l`: open ones, closed ones.

        Apart, since what is rare among the ones may be common among the others: each has a plan
        that suits it.
        """
        found = []
        for name, those in (("open", _OPEN), ("closed", _CLOSED)):
            wanted = [status for status in those if status in self._statuses]
            if not wanted:
                continue
            both = list(self._both)
            if len(wanted) < len(those):
                both.append(f"@.status = ANY({self._put(wanted)})")
            source, conditions = f"ticket_list_{name} l", [*_of("l", both), *self._list]
            if self._alone:
                source = f"ticket_text_{name} l"
                conditions += _of("l", self._text)
            elif self._text:
                source += f" JOIN ticket_text_{name} x ON x.ticket_id = l.ticket_id"
                conditions += _of("x", [*both, *self._text])
            found.append(f"{source} WHERE {' AND '.join(conditions) or 'true'}")
        return found

    def require(self, condition: str, *values: Any) -> None:
        """Add a condition on `l`; each `{}` in it stands for a value."""
        self._list.append(condition.format(*map(self._put, values)))

    def _put(self, value: Any) -> str:
        name = f"{self._prefix}p{len(self.parameters)}"
        self.parameters[name] = value
        if isinstance(value, list):
            return f"CAST(:{name} AS {_kind(value[0] if value else '')}[])"
        return f"CAST(:{name} AS {_kind(value)})"

    def _products(self, products: Sequence[str] | None) -> None:
        if products is not None and len(products) == 1:
            self._both.append(f"@.product = {self._put(products[0])}")
        elif products is not None:
            self._both.append(f"@.product = ANY({self._put(list(products))})")

    def _people(self, filter: Filter) -> None:
        if filter.own is not None:
            self.require(f"l.submitter_id = ({_IDS} = {{}})", filter.own)
        if filter.submitters:
            ids = [one for one in filter.submitters if isinstance(one, UUID)]
            emails = [one for one in filter.submitters if isinstance(one, str)]
            if ids:
                self.require(
                    f"l.submitter_id = ANY({{}} || ARRAY({_IDS} = ANY({{}})))", ids, emails
                )
            else:
                self.require(f"l.submitter_id = ANY(ARRAY({_IDS} = ANY({{}})))", emails)

    def _facets(self, facets: Sequence[tuple[str, Sequence[str]]]) -> None:
        every: list[int] = []
        for name, values in facets:
            found = [facet(name, value) for value in values]
            if len(found) == 1:
                every += found
            else:
                self.require("l.facets && {}", found)
        if every:
            self.require("l.facets @> {}", every)

    def _between(self, column: str, since: datetime | None, until: datetime | None) -> None:
        known = self._both if column == "created" else self._list
        table = "@" if column == "created" else "l"
        if since is not None:
            known.append(f"{table}.{column}_at >= {self._put(since)}")
        if until is not None:
            known.append(f"{table}.{column}_at < {self._put(until)}")

    def _implied(self, filter: Filter, sort: Sort) -> None:
        for name, (since, until) in filter.spans.items():
            self._between(
                sort,
                since if name in _LATER.get(sort, ()) else None,
                until if name in _EARLIER.get(sort, ()) else None,
            )
        for name, values in filter.facets:
            if sort is Sort.PRIORITY and name == "priority":
                self.require("l.haste = ANY({})", [HASTE.index(value) for value in values])


def _kind(value: Any) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "text")


def _statuses(filter: Filter) -> tuple[str, ...]:
    """The statuses that can be found at all."""
    found = tuple(filter.statuses) or (*_OPEN, *_CLOSED)
    for name in (*(name for name, _ in filter.facets), *filter.spans):
        found = tuple(status for status in found if status in _STATUSES.get(name, found))
    return found


def _of(table: str, conditions: Sequence[str]) -> list[str]:
    return [condition.replace("@.", f"{table}.") for condition in conditions]
