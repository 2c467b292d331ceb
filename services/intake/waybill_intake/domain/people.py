"""What erasing a person means for tickets: the words go, what happened stays."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from waybill_intake.domain.moves import enter, moves_of
from waybill_intake.domain.ticket import Change, Edited, Fact, Ticket
from waybill_intake.domain.words import ActorKind, CloseReason, Status

ERASED = "(erased)"
"""What stands where words were erased."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person as they are known until they are erased."""

    id: UUID
    email: str
    name: str
    erased_at: datetime | None = None
    other_names: tuple[str, ...] = ()
    """Under which they wrote."""

    @property
    def traces(self) -> str:
        """A pattern of the address and the names as whole words, for Python's `re` as for SQL."""
        known = dict.fromkeys(one.strip() for one in (self.email, self.name, *self.other_names))
        # Longer ones first: a name may begin with another one.
        words = "|".join(re.escape(one) for one in sorted(known, key=len, reverse=True) if one)
        return rf"(?<!\w)(?:{words})(?!\w)"


def erase(ticket: Ticket, person: Known, at: datetime) -> Edited:
    """Take all that the submitter wrote and is out of their ticket.

    Its times, statuses, tags and the rating's score stay. Told is only that it was erased: an
    event with the values before would carry on what is to be gone.
    """
    rating = replace(ticket.rating, comment="") if ticket.rating else None
    after = ticket.changed(
        at,
        title=ERASED,
        description=ERASED,
        custom_fields={},
        order_refs=(),
        external_ref="",
        attachment_ids=(),
        rating=rating,
        submitter=ticket.submitter and replace(ticket.submitter, email="", name=""),
        watchers=tuple(one for one in ticket.watchers if one.email != person.email),
        checks=tuple(
            replace(check, reason=re.sub(person.traces, ERASED, check.reason, flags=re.IGNORECASE))
            for check in ticket.checks
        ),
        erased_at=at,
    )
    change = Change(field="erased_at", before=None, after=at)
    return Edited(ticket=after, changes=(change,))


def close(ticket: Ticket, at: datetime) -> list[Fact]:
    """Nobody is left who could be helped: close an erased ticket that is open."""
    if not ticket.is_open:
        return []
    (way,) = [
        found
        for found in moves_of(ticket, ActorKind.AUTOMATION)
        if found.to is Status.CLOSED and found.reason is CloseReason.NO_ACTION_NEEDED
    ]
    return [enter(ticket, way, at, comment="The personal data of the submitter was erased.")]


def forget_watcher(ticket: Ticket, person: Known, at: datetime) -> list[Fact]:
    """Take an erased person out of the watchers of somebody else's ticket, even a closed one."""
    kept = tuple(one for one in ticket.watchers if one.email != person.email)
    if kept == ticket.watchers:
        return []
    change = Change(field="watchers", before=None, after=tuple(one.email for one in kept))
    return [Edited(ticket=ticket.changed(at, watchers=kept), changes=(change,))]
