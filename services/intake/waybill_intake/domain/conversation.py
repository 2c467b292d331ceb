"""Where an answer goes when its ticket is closed, and how a note is edited."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from waybill_chassis.problems import Conflict, Forbidden

from waybill_intake.domain.moves import TicketIsClosed, require_open
from waybill_intake.domain.ticket import Actor, Change, Draft, Edited, Message, Ticket
from waybill_intake.domain.words import LinkKind, MessageKind

_MOST_TITLE = 200
_RE = "Re: "


class CannotEdit(Conflict):
    """Words that others have read, or may have."""

    title = "Cannot edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEdited(Edited):
    """A note was rewritten by its author; the change names the note, never its words."""

    message: Message
    before: Message


def heir(
    ticket: Ticket, find: Callable[[UUID], Ticket | None], *, follow_ups: bool
) -> Ticket | None:
    """The open ticket that goes on with this one: itself, what it was merged into, a follow-up.

    Follow-ups only of the same person, and of several the newest. `find` gives the tickets that
    may be entered.
    """
    heirs: list[Ticket] = []
    seen, waiting = {ticket.id}, [ticket]
    while waiting:
        one = waiting.pop()
        if one.is_open:
            heirs.append(one)
            continue
        for id in _next(one, follow_ups=follow_ups):
            other = None if id in seen else find(id)
            seen.add(id)
            if other is not None and (id == one.merged_into or _same_person(other, ticket)):
                waiting.append(other)
    return max(heirs, key=lambda found: (found.created_at, found.id), default=None)


def _next(ticket: Ticket, *, follow_ups: bool) -> list[UUID]:
    merged = [] if ticket.merged_into is None else [ticket.merged_into]
    later = [link.ticket_id for link in ticket.links if link.kind is LinkKind.FOLLOWED_BY]
    return merged + (later if follow_ups else [])


def _same_person(one: Ticket, other: Ticket) -> bool:
    mine, theirs = one.submitter, other.submitter
    return one.product == other.product and (mine and mine.id) == (theirs and theirs.id)


def follow_up(ticket: Ticket, body: str, attachment_ids: tuple[UUID, ...] = ()) -> Draft:
    """The ticket that an answer to a closed one opens: about the same, with the new words."""
    title = ticket.title if ticket.title.startswith(_RE) else _RE + ticket.title
    return Draft(
        type=ticket.type,
        title=title[:_MOST_TITLE],
        description=body,
        language=ticket.language,
        custom_fields=ticket.custom_fields,
        order_refs=ticket.order_refs,
        attachment_ids=attachment_ids,
    )


def closed_to_agents(ticket: Ticket, later: Ticket | None) -> TicketIsClosed:
    """The refusal of an agent's words in a closed ticket, with the way out."""
    way = (
        f"write in {later.number}, which goes on with it"
        if later is not None
        else "open a new ticket and link it to this one as its follow_up"
    )
    return TicketIsClosed(
        f"{ticket.number} is closed and never changes again: {way}.",
        current_status=ticket.status.value,
        allowed=[],
        merged_into=ticket.merged_into and str(ticket.merged_into),
        continued_in=later and str(later.id),
    )


def edit_note(
    ticket: Ticket,
    message: Message,
    *,
    by: Actor,
    body: str,
    mentions: tuple[str, ...],
    at: datetime,
) -> list[NoteEdited]:
    """Rewrite a note: its author only, while the ticket is open; nothing for the same words."""
    if message.kind is not MessageKind.NOTE:
        raise CannotEdit("A reply stays as it was sent: write another one.")
    if (message.author.kind, message.author.id) != (by.kind, by.id):
        raise Forbidden("Only its author edits a note: write another one.")
    require_open(ticket)
    if (message.body, message.mentions) == (body, mentions):
        return []
    ticket = ticket.changed(at)
    after = replace(message, body=body, mentions=mentions, edited_at=ticket.updated_at)
    change = Change(field="notes", before=str(message.id), after=str(message.id))
    return [NoteEdited(ticket=ticket, changes=(change,), message=after, before=message)]
