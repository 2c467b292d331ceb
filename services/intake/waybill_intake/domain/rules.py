"""What can happen to a ticket: each function gives the facts, or nothing where nothing changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from waybill_chassis.problems import Conflict, invalid_field

from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.moves import move, require_open
from waybill_intake.domain.ticket import (
    Actor,
    Attached,
    Change,
    Draft,
    Edited,
    Fact,
    Link,
    Linked,
    Message,
    Moved,
    Opened,
    Posted,
    Rated,
    Rating,
    Reminded,
    Submitter,
    Ticket,
)
from waybill_intake.domain.words import (
    ActionKind,
    ActorKind,
    Channel,
    CloseReason,
    FollowUpKind,
    LinkKind,
    MessageKind,
    Priority,
    Status,
    TicketType,
)


class CannotLink(Conflict):
    """Two tickets that are linked the other way round."""

    title = "Cannot link"


class CannotRate(Conflict):
    """A rating that comes too early, too late or a second time."""

    title = "Cannot rate"


def open_ticket(
    draft: Draft,
    *,
    id: UUID,
    number: str,
    product: str,
    channel: Channel,
    submitter: Submitter | None,
    by: ActorKind,
    default_priority: Priority,
    at: datetime,
) -> Opened:
    """Take a ticket in: it is pending and its first episode begins."""
    return Opened(
        ticket=Ticket(
            id=id,
            number=number,
            product=product,
            type=draft.type,
            priority=draft.priority or default_priority,
            status=Status.PENDING,
            title=draft.title,
            description=draft.description,
            language=draft.language,
            tags=draft.tags,
            custom_fields=draft.custom_fields,
            channel=channel,
            submitter=submitter,
            order_refs=draft.order_refs,
            external_ref=draft.external_ref,
            attachment_ids=draft.attachment_ids,
            created_at=at,
            updated_at=at,
            status_since=at,
            episode_since=at,
            set_by_person=draft.set_fields(),
            opened_by_product=by is ActorKind.PRODUCT,
        )
    )


def repeat(ticket: Ticket, at: datetime) -> list[Fact]:
    """A product asks again with the ticket's `external_ref`: count it; reopen a resolved one."""
    count = Change(field="occurrences", before=ticket.occurrences, after=ticket.occurrences + 1)
    ticket = ticket.changed(at, occurrences=ticket.occurrences + 1)
    facts: list[Fact] = [Edited(ticket=ticket, changes=(count,))]
    if ticket.status is Status.RESOLVED:
        facts.append(move(ticket, Status.IN_PROGRESS, ActorKind.PRODUCT, at))
    return facts


def post(
    ticket: Ticket,
    *,
    id: UUID,
    kind: MessageKind,
    author: Actor,
    body: str,
    at: datetime,
    channel: Channel = Channel.API,
    quick_reply_id: str = "",
    mentions: tuple[str, ...] = (),
    attachment_ids: tuple[UUID, ...] = (),
) -> list[Fact]:
    """Add a message, and the move that it means.

    The submitter's or the product's words resume a ticket that waits for them and reopen a
    resolved one; an agent's reply begins the work on a pending one.
    """
    require_open(ticket)
    at = max(at, ticket.updated_at)
    public = kind is MessageKind.REPLY
    first = public and author.kind is ActorKind.AGENT and ticket.first_response_at is None
    fields: dict[str, Any] = {}
    if public:
        fields = {
            "episode": ticket.episode + 1,
            "episode_since": at,
            "reminders": (),
            "last_public_message_at": at,
            "last_public_message_by": author.kind,
        }
    if first:
        fields["first_response_at"] = at
    ticket = ticket.changed(at, **fields)
    message = Message(
        id=id,
        ticket_id=ticket.id,
        kind=kind,
        author=author,
        body=body,
        created_at=at,
        first_response=first,
        channel=channel,
        quick_reply_id=quick_reply_id,
        mentions=mentions,
        attachment_ids=attachment_ids,
    )
    facts: list[Fact] = [Posted(ticket=ticket, message=message)]
    if not public:
        return facts
    waiting = {Status.PENDING} if author.kind is ActorKind.AGENT else {
        Status.AWAITING_USER, Status.RESOLVED
    }  # fmt: skip
    if ticket.status in waiting and author.kind is not ActorKind.AUTOMATION:
        facts.append(move(ticket, Status.IN_PROGRESS, author.kind, at))
    return facts


WITH_OUTCOME = (TicketType.COMPLAINT, TicketType.SUGGESTION)
"""The types whose submitters are told what becomes of what they said."""


def attach(
    ticket: Ticket, files: Sequence[Attachment], at: datetime, message: Message | None = None
) -> list[Attached]:
    """Hang files on a ticket that was just opened, or on a message that was just posted in it."""
    facts = []
    for file in files:
        ticket = ticket.changed(at)
        attachment = replace(
            file,
            ticket_id=ticket.id,
            message_id=message.id if message else None,
            internal=message is not None and message.kind is MessageKind.NOTE,
            expires_at=None,
        )
        facts.append(Attached(ticket=ticket, attachment=attachment))
    return facts


TRIAGED = ("type", "priority", "language", "tags")
"""The fields that triage may set where nobody else has."""


def edit(ticket: Ticket, fields: Mapping[str, Any], at: datetime, *, person: bool) -> list[Edited]:
    """Set fields; nothing happens where all of them are so already.

    What a `person` (or a product) sets is left alone by triage from then on.
    """
    require_open(ticket)
    fields = _with_outcome(ticket, fields)
    new = {name: value for name, value in fields.items() if getattr(ticket, name) != value}
    touched = {name for name in fields if name in TRIAGED} if person else set()
    if not new:
        return []
    changes = tuple(
        Change(field=name, before=getattr(ticket, name), after=value) for name, value in new.items()
    )
    marked = tuple(sorted({*ticket.set_by_person, *touched}))
    return [Edited(ticket=ticket.changed(at, set_by_person=marked, **new), changes=changes)]


def _with_outcome(ticket: Ticket, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields, without an outcome for what is no complaint or suggestion, or not any more."""
    if fields.get("type", ticket.type) in WITH_OUTCOME:
        return fields
    if fields.get("outcome") is not None:
        raise invalid_field("outcome", "is for complaints and suggestions only")
    return {**fields, "outcome": None} if ticket.outcome is not None else fields


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What triage suggests for a field; for `tags` one tag to add."""

    field: str
    value: Any
    confidence: float


def verdict(ticket: Ticket, found: Suggestion, threshold: float) -> str:
    """Why a suggestion is not applied; empty when it is."""
    if not ticket.is_open:
        return "the ticket is closed"
    if found.field in ticket.set_by_person:
        return "set by a person"
    # Said this way round, what is no number is not sure either.
    if not found.confidence >= threshold:
        return "not sure enough"
    held = getattr(ticket, found.field)
    same = found.value in held if found.field == "tags" else found.value == held
    return "so already" if same else ""


def triage(
    ticket: Ticket, suggestions: Sequence[Suggestion], threshold: float, at: datetime
) -> list[Edited]:
    """Apply what is sure enough to fields that no person has set."""
    if not ticket.is_open:
        return []
    fields: dict[str, Any] = {}
    tags = list(ticket.tags)
    for found in suggestions:
        if verdict(ticket, found, threshold):
            continue
        if found.field != "tags":
            fields[found.field] = found.value
        elif found.value not in tags:
            tags.append(found.value)
    if tags != list(ticket.tags):
        fields["tags"] = tuple(tags)
    return edit(ticket, fields, at, person=False)


def assigned(ticket: Ticket, at: datetime) -> list[Moved]:
    """An agent has it: the work on a pending one begins."""
    if ticket.status is not Status.PENDING:
        return []
    return [move(ticket, Status.IN_PROGRESS, ActorKind.AUTOMATION, at)]


def released(ticket: Ticket, at: datetime) -> list[Moved]:
    """Nobody has it any more: one in progress waits again."""
    if ticket.status is not Status.IN_PROGRESS:
        return []
    return [move(ticket, Status.PENDING, ActorKind.AUTOMATION, at)]


_DUE_IN = {
    FollowUpKind.REMINDER_1: Status.AWAITING_USER,
    FollowUpKind.REMINDER_2: Status.AWAITING_USER,
    FollowUpKind.AUTO_CLOSE_AWAITING: Status.AWAITING_USER,
    FollowUpKind.AUTO_CLOSE_RESOLVED: Status.RESOLVED,
}


def follow_up(ticket: Ticket, kind: FollowUpKind, episode: int, at: datetime) -> list[Fact]:
    """Remind or close because nobody answered; nothing if the episode is overtaken."""
    if ticket.episode != episode or ticket.status is not _DUE_IN[kind]:
        return []
    if kind in (FollowUpKind.AUTO_CLOSE_AWAITING, FollowUpKind.AUTO_CLOSE_RESOLVED):
        return [
            move(
                ticket,
                Status.CLOSED,
                ActorKind.AUTOMATION,
                at,
                reason=CloseReason.AUTO_CLOSED,
            )
        ]
    if kind in ticket.reminders:
        return []
    return [Reminded(ticket=ticket.changed(at, reminders=(*ticket.reminders, kind)), kind=kind)]


def link(ticket: Ticket, other: Ticket, kind: LinkKind, at: datetime) -> list[Linked]:
    """Link two tickets, of which one at least is open; each gets its end."""
    if ticket.id == other.id:
        raise invalid_field("ticket", "must be another ticket")
    mine = Link(kind, other.id, other.number)
    if mine in ticket.links:
        return []
    if kind is not kind.other_end and Link(kind.other_end, other.id, other.number) in ticket.links:
        raise CannotLink(
            f"{ticket.number} is linked to {other.number} as {kind.other_end}: unlink them first."
        )
    if not ticket.is_open and not other.is_open:
        require_open(ticket)
    theirs = Link(kind.other_end, ticket.id, ticket.number)
    return [
        Linked(ticket=ticket.changed(at, links=(*ticket.links, mine)), link=mine),
        Linked(ticket=other.changed(at, links=(*other.links, theirs)), link=theirs),
    ]


def unlink(ticket: Ticket, other: Ticket, at: datetime) -> list[Edited]:
    """Take every link between two tickets away, of which one at least is open."""
    if all(link.ticket_id != other.id for link in ticket.links):
        return []
    if not ticket.is_open and not other.is_open:
        require_open(ticket)
    return [_without_links(ticket, other, at), _without_links(other, ticket, at)]


def _without_links(ticket: Ticket, other: Ticket, at: datetime) -> Edited:
    kept = tuple(link for link in ticket.links if link.ticket_id != other.id)
    before, after = (
        tuple(f"{link.kind} {link.number}" for link in links) for links in (ticket.links, kept)
    )
    change = Change(field="links", before=before, after=after)
    return Edited(ticket=ticket.changed(at, links=kept), changes=(change,))


def rate(ticket: Ticket, score: int, comment: str, at: datetime, within: timedelta) -> Rated:
    """Rate the help: once, after the closing, and not long after it."""
    if ticket.rating is not None:
        raise CannotRate(f"{ticket.number} has been rated already.")
    if ticket.closed_at is None:
        raise CannotRate(f"{ticket.number} can be rated once it is closed.")
    if at - ticket.closed_at > within:
        raise CannotRate(f"{ticket.number} was closed more than {within.days} days ago.")
    rating = Rating(score, comment, max(at, ticket.updated_at))
    return Rated(ticket=ticket.changed(at, rating=rating), rating=rating)


def actions_of(ticket: Ticket, at: datetime, within: timedelta) -> list[ActionKind]:
    """What the submitter can do with a link in a message, as the ticket stands."""
    if ticket.submitter is None or ticket.erased_at is not None:
        return []
    if ticket.closed_at is None:
        reopen = [ActionKind.REOPEN] if ticket.status is Status.RESOLVED else []
        return [ActionKind.CONFIRM, *reopen, ActionKind.UNSUBSCRIBE]
    rate = ticket.rating is None and at - ticket.closed_at <= within
    return [ActionKind.RATE, ActionKind.UNSUBSCRIBE] if rate else [ActionKind.UNSUBSCRIBE]


def unsubscribe(ticket: Ticket, at: datetime) -> list[Edited]:
    """The submitter wants no more messages about the ticket, even if it is closed by now."""
    if ticket.unsubscribed_at is not None:
        return []
    after = ticket.changed(at, unsubscribed_at=at)
    change = Change(field="unsubscribed_at", before=None, after=at)
    return [Edited(ticket=after, changes=(change,))]


def confirm(ticket: Ticket, at: datetime) -> Moved:
    """The submitter says that solved it: resolves an open ticket, or closes a resolved one."""
    to = Status.CLOSED if ticket.status is Status.RESOLVED else Status.RESOLVED
    return move(ticket, to, ActorKind.SUBMITTER, at)
