"""When a ticket may be the same as an older one, and when nobody needs to be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from waybill_intake.domain.facts import Facts
from waybill_intake.domain.merging import is_duplicate
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import Status


@dataclass(frozen=True, slots=True)
class Likeness:
    """An older ticket that another one is like: how much, from 0 to 1, and whether word by word."""

    older: Ticket
    score: float
    same_text: bool


def comparable(ticket: Ticket, older: Ticket) -> bool:
    """Whether the two could be merged at all; a product's own are never compared."""
    return (
        ticket.id != older.id
        and ticket.is_open
        and older.is_open
        and ticket.product == older.product
        and not (ticket.external_ref or older.external_ref)
    )


def is_untouched(ticket: Ticket) -> bool:
    """Whether nothing has been said in public since it was opened, nor done that means the same."""
    return (
        ticket.last_public_message_at is None
        and ticket.reopenings == 0
        and ticket.status in (Status.PENDING, Status.IN_PROGRESS)
    )


def to_merge_into(
    ticket: Ticket,
    found: Sequence[Likeness],
    known: Facts,
    *,
    within: timedelta,
    similar: float | None,
) -> Ticket | None:
    """The ticket that this one is merged into without asking, if any.

    Of those with the same text the oldest, else of those that are at least `similar` (None: none
    is). Never what somebody has dismissed, nor into one that counts as solved: who asks again is
    not helped by that.
    """
    fit = [
        like
        for like in found
        if (like.same_text or (similar is not None and like.score >= similar))
        and is_duplicate(ticket, like.older, within)
        and like.older.status is not Status.RESOLVED
        and not ((held := known.suspicion(like.older.id)) and held.dismissed)
    ]
    if not fit or not is_untouched(ticket):
        return None
    fit.sort(key=lambda like: (not like.same_text, like.older.created_at, like.older.id))
    return fit[0].older
