"""The statuses and the only moves between them (docs: the rules of the domain)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from waybill_chassis.problems import Conflict, invalid_field

from waybill_intake.domain.ticket import Moved, Ticket
from waybill_intake.domain.words import ActorKind, CloseReason, Status

_SUBMITTER, _AGENT = ActorKind.SUBMITTER, ActorKind.AGENT
_PRODUCT, _AUTOMATION = ActorKind.PRODUCT, ActorKind.AUTOMATION
_PENDING, _IN_PROGRESS, _AWAITING = Status.PENDING, Status.IN_PROGRESS, Status.AWAITING_USER
_RESOLVED, _CLOSED = Status.RESOLVED, Status.CLOSED


@dataclass(frozen=True, slots=True)
class Move:
    """A way from one status to another; `reason` for the ways into `closed`."""

    source: Status
    to: Status
    reason: CloseReason | None = None

    def __str__(self) -> str:
        return self.to.value if self.reason is None else f"{self.to.value} ({self.reason.value})"


_EVERYBODY = frozenset({_SUBMITTER, _AGENT, _PRODUCT, _AUTOMATION})
_USER = frozenset({_SUBMITTER, _AGENT, _PRODUCT})

MOVES: Mapping[Move, frozenset[ActorKind]] = {
    Move(_PENDING, _IN_PROGRESS): frozenset({_AGENT, _AUTOMATION}),
    Move(_IN_PROGRESS, _AWAITING): frozenset({_AGENT}),
    # Routing released it and nobody has it: never by hand.
    Move(_IN_PROGRESS, _PENDING): frozenset({_AUTOMATION}),
    Move(_AWAITING, _IN_PROGRESS): _USER,
    **{Move(source, _RESOLVED): _EVERYBODY for source in (_PENDING, _IN_PROGRESS, _AWAITING)},
    # The user says no or answers; an agent, for a user who said so by other means.
    Move(_RESOLVED, _IN_PROGRESS): _USER,
    Move(_RESOLVED, _CLOSED, CloseReason.USER_CONFIRMED): frozenset({_SUBMITTER}),
    Move(_RESOLVED, _CLOSED, CloseReason.RESOLVED): frozenset({_AGENT}),
    Move(_AWAITING, _CLOSED, CloseReason.AUTO_CLOSED): frozenset({_AUTOMATION}),
    Move(_RESOLVED, _CLOSED, CloseReason.AUTO_CLOSED): frozenset({_AUTOMATION}),
    **{
        Move(source, _CLOSED, CloseReason.NO_ACTION_NEEDED): frozenset({_AGENT, _AUTOMATION})
        for source in (_PENDING, _IN_PROGRESS, _AWAITING, _RESOLVED)
    },
}
"""Who may do which move."""

MERGES: frozenset[Move] = frozenset(
    Move(source, _CLOSED, CloseReason.DUPLICATE)
    for source in (_PENDING, _IN_PROGRESS, _AWAITING, _RESOLVED)
)
"""The moves that only a merge makes."""


class MoveRefused(Conflict):
    """A move that the table does not have, or not for this actor; `allowed` says what is."""

    title = "Move refused"


class TicketIsClosed(Conflict):
    """An archived ticket never changes again."""

    title = "Ticket is closed"


def moves_of(ticket: Ticket, by: ActorKind) -> list[Move]:
    """What `by` can do with the ticket as it stands."""
    return [
        move
        for move, actors in MOVES.items()
        if move.source is ticket.status
        and by in actors
        and not (by is _PRODUCT and move.to is _RESOLVED and not ticket.opened_by_product)
    ]


def move(
    ticket: Ticket,
    to: Status,
    by: ActorKind,
    at: datetime,
    *,
    reason: CloseReason | None = None,
    comment: str = "",
) -> Moved:
    """Move the ticket; `MoveRefused` for what the table does not allow.

    Without a `reason` the way into `closed` is the first that the table has for this actor.
    """
    if reason is not None and to is not _CLOSED:
        raise invalid_field("reason", "is only for closing")
    possible = moves_of(ticket, by)
    for found in possible:
        if found.to is to and reason in (None, found.reason):
            return enter(ticket, found, at, comment=comment)
    raise refusal(ticket, Move(ticket.status, to, reason), possible)


def refusal(ticket: Ticket, wanted: Move, possible: list[Move]) -> MoveRefused:
    """The refusal of a move, with the moves that are allowed."""
    ways = ", ".join(map(str, possible))
    return MoveRefused(
        f"{ticket.number} is {ticket.status} and cannot become {wanted}. "
        + (f"Possible for you: {ways}." if ways else "There is no way for you from here."),
        current_status=ticket.status.value,
        allowed=list(dict.fromkeys(found.to.value for found in possible)),
        moves=[
            {"to": found.to.value, "reason": found.reason and found.reason.value}
            for found in possible
        ],
    )


def enter(ticket: Ticket, found: Move, at: datetime, *, comment: str = "", **also: Any) -> Moved:
    """Make a move of the table: a new status is a new episode."""
    at = max(at, ticket.updated_at)
    fields: dict[str, Any] = {
        "status": found.to,
        "status_since": at,
        "episode": ticket.episode + 1,
        "episode_since": at,
        "reminders": (),
    }
    if found.to is _RESOLVED:
        fields["resolved_at"] = at
    elif found.to is _CLOSED:
        fields |= {"closed_at": at, "close_reason": found.reason}
    elif found.source is _RESOLVED:
        fields |= {
            "resolved_at": None,
            "reopened_at": at,
            "reopenings": ticket.reopenings + 1,
        }
    return Moved(ticket=ticket.changed(at, **(fields | also)), source=found.source, comment=comment)


def require_open(ticket: Ticket) -> None:
    """Raise `TicketIsClosed` for an archived ticket."""
    if not ticket.is_open:
        raise TicketIsClosed(
            f"{ticket.number} is closed and never changes again: open a new ticket.",
            current_status=ticket.status.value,
            allowed=[],
            merged_into=ticket.merged_into and str(ticket.merged_into),
        )
