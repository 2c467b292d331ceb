"""kb's picture of the tickets, and what follows from the same text coming again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A ticket as far as texts are compared. `submitter_id` is empty when it is for nobody."""

    id: UUID
    number: str
    product: str
    submitter_id: str
    text_hash: bytes | None
    text: str
    language: str
    created_at: datetime
    external_ref: bool
    sequence: int
    erased: bool = False
    """Whether its submitter was erased: there is no text to compare any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A ticket that says the same as another one of its submitter and product."""

    id: UUID
    number: str
    created_at: datetime
    external_ref: bool


@dataclass(frozen=True, slots=True)
class Windows:
    """Within which times the same text counts as a duplicate, and as an issue that came again."""

    duplicate: timedelta
    repeat: timedelta
    repeat_count: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be told of a ticket: `duplicates` and `earlier` are oldest first."""

    ticket: Sibling
    duplicates: tuple[Sibling, ...]
    earlier: tuple[Sibling, ...]
    because_of: UUID
    """The ticket whose first sight led to it: this one, or an older one that was read later."""


def findings(siblings: Iterable[Sibling], fresh: Sequence[UUID], windows: Windows) -> list[Finding]:
    """What the first sight of the tickets `fresh` means, for them and for younger siblings.

    Tickets are read in any order, so age is judged by when they were opened: one that is read
    late may turn out to be the older twin of one that has been told of as unique. A finding says
    all there is to say of its ticket, so that the last one told is right.
    """
    found = []
    known = sorted(siblings, key=_age)
    new = set(fresh)
    for index, ticket in enumerate(known):
        older = known[:index]
        duplicates = [
            other
            for other in _within(windows.duplicate, ticket, older)
            if not (ticket.external_ref or other.external_ref)
        ]
        earlier = _within(windows.repeat, ticket, older)
        if len(earlier) + 1 < windows.repeat_count:
            earlier = []
        cause = [other.id for other in (ticket, *duplicates, *earlier) if other.id in new]
        if cause and (duplicates or earlier):
            found.append(Finding(ticket, tuple(duplicates), tuple(earlier), cause[0]))
    return found


def _within(window: timedelta, ticket: Sibling, older: Sequence[Sibling]) -> list[Sibling]:
    return [other for other in older if ticket.created_at - other.created_at <= window]


def _age(ticket: Sibling) -> tuple[datetime, UUID]:
    return ticket.created_at, ticket.id
