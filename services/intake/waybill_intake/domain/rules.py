"""What can happen to a ticket: each function gives the facts, or nothing where nothing changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from waybill_chassis.problems import Conflict, invalid_field

from waybill_intake.domain.moves import MERGES, Move, enter, move, require_open
from waybill_intake.domain.ticket import (
    Actor,
    Change,
    Draft,
    Edited,
    Fact,
    Link,
    Linked,
    Merged,
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
    MergeRole,
    MessageKind,
    Priority,
    Status,
)


class CannotMerge(Conflict):
    """Two tickets that are not to become one."""

    title = "Cannot merge"


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


TRIAGED = ("type", "priority", "language", "tags")
"""The fields that triage may set where nobody else has."""


def edit(ticket: Ticket, fields: Mapping[str, Any], at: datetime, *, person: bool) -> list[Edited]:
    """Set fields; nothing happens where all of them are so already.

    What a `person` (or a product) sets is left alone by triage from then on.
    """
    require_open(ticket)
    new = {name: value for name, value in fields.items() if getattr(ticket, name) != value}
    touched = {name for name in fields if name in TRIAGED} if person else set()
    if not new:
        return []
    changes = tuple(
        Change(field=name, before=getattr(ticket, name), after=value) for name, value in new.items()
    )
    marked = tuple(sorted({*ticket.set_by_person, *touched}))
    return [Edited(ticket=ticket.changed(at, set_by_person=marked, **new), changes=changes)]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What triage suggests for a field; for `tags` one tag to add."""

    field: str
    value: Any
    confidence: float


def triage(
    ticket: Ticket, suggestions: Sequence[Suggestion], threshold: float, at: datetime
) -> list[Edited]:
    """Apply what is sure enough to fields that no person has set."""
    if not ticket.is_open:
        return []
    fields: dict[str, Any] = {}
    tags = list(ticket.tags)
    for found in suggestions:
        if found.confidence < threshold or found.field in ticket.set_by_person:
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


def merge(source: Ticket, target: Ticket, at: datetime) -> list[Fact]:
    """Close `source` as a duplicate of `target`; the higher priority stays."""
    if source.id == target.id:
        raise invalid_field("into", "must be another ticket")
    if source.product != target.product:
        raise CannotMerge("Only tickets of one product can be merged.")
    for ticket in (source, target):
        if not ticket.is_open:
            raise CannotMerge(
                f"{ticket.number} is closed already.",
                merged_into=ticket.merged_into and str(ticket.merged_into),
            )
    closing = Move(source.status, Status.CLOSED, CloseReason.DUPLICATE)
    assert closing in MERGES
    moved = enter(source, closing, at, merged_into=target.id)
    facts: list[Fact] = [
        moved,
        Merged(
            ticket=moved.ticket.changed(at),
            role=MergeRole.SOURCE,
            source_id=source.id,
            target_id=target.id,
        ),
    ]
    if source.priority.rank > target.priority.rank:
        person = "priority" in source.set_by_person
        facts += (edited := edit(target, {"priority": source.priority}, at, person=person))
        target = edited[0].ticket
    facts.append(
        Merged(
            ticket=target.changed(at),
            role=MergeRole.TARGET,
            source_id=source.id,
            target_id=target.id,
        )
    )
    return facts


def is_duplicate(ticket: Ticket, older: Ticket, within: timedelta) -> bool:
    """Whether two tickets of the same text are one: same submitter and product, not long apart."""
    return (
        ticket.is_open
        and older.is_open
        and ticket.id != older.id
        and not ticket.external_ref
        and not older.external_ref
        and ticket.product == older.product
        and ticket.submitter is not None
        and older.submitter is not None
        and ticket.submitter.id == older.submitter.id
        and timedelta() <= ticket.created_at - older.created_at <= within
    )


def link(ticket: Ticket, other: Ticket, kind: LinkKind, at: datetime) -> list[Linked]:
    """Link two tickets, of which one at least is open; each gets its end."""
    if ticket.id == other.id:
        raise invalid_field("ticket", "must be another ticket")
    mine = Link(kind, other.id, other.number)
    if mine in ticket.links:
        return []
    if not ticket.is_open and not other.is_open:
        require_open(ticket)
    theirs = Link(kind.other_end, ticket.id, ticket.number)
    return [
        Linked(ticket=ticket.changed(at, links=(*ticket.links, mine)), link=mine),
        Linked(ticket=other.changed(at, links=(*other.links, theirs)), link=theirs),
    ]


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
    if ticket.submitter is None:
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
