"""Rows and domain objects, one made of the other."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from waybill_intake.domain.ticket import (
    Actor,
    Check,
    Link,
    Message,
    Rating,
    Submitter,
    Ticket,
    Watcher,
)
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    FollowUpKind,
    LinkKind,
    MessageKind,
    Outcome,
    Priority,
    Status,
    TicketType,
)

_SAME = (
    "id",
    "number",
    "product",
    "type",
    "priority",
    "status",
    "title",
    "description",
    "language",
    "tags",
    "custom_fields",
    "channel",
    "order_refs",
    "occurrences",
    "created_at",
    "updated_at",
    "status_since",
    "episode",
    "episode_since",
    "first_response_at",
    "resolved_at",
    "closed_at",
    "close_reason",
    "reopenings",
    "reopened_at",
    "last_public_message_at",
    "last_public_message_by",
    "merged_into",
    "set_by_person",
    "opened_by_product",
    "reminders",
    "unsubscribed_at",
    "erased_at",
    "attachment_ids",
    "watchers",
    "outcome",
    "checks",
    "skipped",
    "version",
)
"""Columns that bear the name and the value of the ticket's field."""


def as_json(rows: Iterable[Any]) -> str:
    """Rows (mappings or dataclasses) as `json_populate_recordset` reads them."""
    return to_json(list(rows)).decode()


def of_ticket(ticket: Ticket) -> dict[str, Any]:
    """A ticket as a row."""
    row = {name: getattr(ticket, name) for name in _SAME}
    submitter, rating = ticket.submitter, ticket.rating
    row["external_ref"] = ticket.external_ref or None
    row["submitter_id"] = submitter.id if submitter else None
    row["submitter_tier"] = submitter.tier if submitter else ""
    row["rating_score"] = rating.score if rating else None
    row["rating_comment"] = rating.comment if rating else None
    row["rated_at"] = rating.rated_at if rating else None
    row["links"] = [
        {"kind": link.kind, "ticket_id": link.ticket_id, "number": link.number}
        for link in ticket.links
    ]
    return row


def to_ticket(row: Any) -> Ticket:
    """The ticket of a row with its submitter's `email` and `submitter_name`."""
    return Ticket(
        id=row.id,
        number=row.number,
        product=row.product,
        type=TicketType(row.type),
        priority=Priority(row.priority),
        status=Status(row.status),
        title=row.title,
        description=row.description,
        language=row.language,
        tags=tuple(row.tags),
        custom_fields=row.custom_fields,
        channel=Channel(row.channel),
        submitter=_submitter(row) if row.submitter_id else None,
        order_refs=tuple(row.order_refs),
        external_ref=row.external_ref or "",
        occurrences=row.occurrences,
        created_at=row.created_at,
        updated_at=row.updated_at,
        status_since=row.status_since,
        episode=row.episode,
        episode_since=row.episode_since,
        first_response_at=row.first_response_at,
        resolved_at=row.resolved_at,
        closed_at=row.closed_at,
        close_reason=CloseReason(row.close_reason) if row.close_reason else None,
        reopenings=row.reopenings,
        reopened_at=row.reopened_at,
        last_public_message_at=row.last_public_message_at,
        last_public_message_by=(
            ActorKind(row.last_public_message_by) if row.last_public_message_by else None
        ),
        rating=_rating(row.rating_score, row.rating_comment, row.rated_at),
        merged_into=row.merged_into,
        links=tuple(
            Link(LinkKind(link["kind"]), UUID(link["ticket_id"]), link["number"])
            for link in row.links
        ),
        set_by_person=tuple(row.set_by_person),
        opened_by_product=row.opened_by_product,
        reminders=tuple(FollowUpKind(kind) for kind in row.reminders),
        unsubscribed_at=row.unsubscribed_at,
        erased_at=row.erased_at,
        attachment_ids=tuple(row.attachment_ids),
        watchers=tuple(Watcher(**watcher) for watcher in row.watchers),
        outcome=Outcome(row.outcome) if row.outcome else None,
        checks=tuple(
            Check(**check | {"at": datetime.fromisoformat(check["at"])}) for check in row.checks
        ),
        skipped=tuple(row.skipped),
        version=row.version,
    )


def _submitter(row: Any) -> Submitter:
    if row.erased_at is not None:
        # Where the lock was waited for, the submitter's row is older than the ticket's.
        return Submitter(row.submitter_id, "", "", row.submitter_tier)
    return Submitter(row.submitter_id, row.email, row.submitter_name, row.submitter_tier)


def of_message(message: Message) -> dict[str, Any]:
    """A message as a row."""
    author = message.author
    return {
        "id": message.id,
        "ticket_id": message.ticket_id,
        "kind": message.kind,
        "author_kind": author.kind,
        "author_id": author.id,
        "author_name": author.name,
        "author_email": author.email,
        "body": message.body,
        "created_at": message.created_at,
        "first_response": message.first_response,
        "channel": message.channel,
        "quick_reply_id": message.quick_reply_id,
        "attachment_ids": message.attachment_ids,
        "mentions": message.mentions,
        "edited_at": message.edited_at,
        "original_ticket_id": message.original_ticket_id,
    }


def to_message(row: Any) -> Message:
    """The message of a row."""
    return Message(
        id=row.id,
        ticket_id=row.ticket_id,
        kind=MessageKind(row.kind),
        author=Actor(ActorKind(row.author_kind), row.author_id, row.author_name, row.author_email),
        body=row.body,
        created_at=row.created_at,
        first_response=row.first_response,
        channel=Channel(row.channel),
        quick_reply_id=row.quick_reply_id,
        attachment_ids=tuple(row.attachment_ids),
        mentions=tuple(row.mentions),
        edited_at=row.edited_at,
        original_ticket_id=row.original_ticket_id,
    )


def _rating(score: int | None, comment: str | None, rated_at: datetime | None) -> Rating | None:
    if score is None or rated_at is None:
        return None
    return Rating(score, comment or "", rated_at)
