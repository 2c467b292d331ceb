"""Tickets, messages and the log as REST shows them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from waybill_chassis.http import Instant, ResponseModel
from waybill_chassis.stored_settings import Snapshot

from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.ticket import Actor, Message, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    LinkKind,
    MessageKind,
    Outcome,
    Priority,
    Status,
    TicketType,
)
from waybill_intake.kept_settings import order_links
from waybill_intake.store.lists import Seen
from waybill_intake.store.log import Line


class SubmitterView(ResponseModel):
    """The person a ticket is for."""

    id: UUID
    email: str
    name: str


class AssigneeView(ResponseModel):
    """Who has a ticket, as routing last said."""

    id: str
    name: str


class TargetView(ResponseModel):
    """Where a target stands, as sla last said; null before it said anything."""

    state: str | None
    due_at: Instant | None


class SlaView(ResponseModel):
    """Both targets."""

    response: TargetView
    resolution: TargetView


class RatingView(ResponseModel):
    """How the submitter rates the help."""

    score: int
    comment: str
    rated_at: Instant


class LinkView(ResponseModel):
    """What another ticket is to this one."""

    kind: LinkKind
    ticket_id: UUID
    number: str


class OrderLinkView(ResponseModel):
    """Where an order is found in its shop."""

    ref: str
    url: str


class WatcherView(ResponseModel):
    """Somebody who follows a ticket."""

    email: str
    name: str


class AttachmentView(ResponseModel):
    """A file; `GET /v1/attachments/{id}` gives it."""

    id: UUID
    filename: str
    media_type: str
    size_bytes: int
    sha256: str


class SuspicionView(ResponseModel):
    """An older ticket that may be the same, and how alike they are, from 0 to 1."""

    ticket_id: UUID
    number: str
    score: float


class TicketView(ResponseModel):
    """A ticket."""

    id: UUID
    number: str
    product: str
    type: TicketType
    priority: Priority
    status: Status
    title: str
    description: str
    language: str
    tags: tuple[str, ...]
    custom_fields: dict[str, Any]
    channel: Channel
    submitter: SubmitterView | None
    assignee: AssigneeView | None
    team: str | None
    order_refs: tuple[str, ...]
    order_links: tuple[OrderLinkView, ...]
    external_ref: str | None
    occurrences: int
    created_at: Instant
    updated_at: Instant
    first_response_at: Instant | None
    resolved_at: Instant | None
    closed_at: Instant | None
    close_reason: CloseReason | None
    response_seconds: float | None
    resolution_seconds: float | None
    sla: SlaView
    escalation_level: str | None
    rating: RatingView | None
    outcome: Outcome | None
    merged_into: UUID | None
    links: tuple[LinkView, ...]
    attachment_ids: tuple[UUID, ...] = ()
    attachments: tuple[AttachmentView, ...] | None = None
    """What came with its opening; null in lists."""
    watchers: tuple[WatcherView, ...] | None = None
    """For agents only."""
    suspected_duplicates: tuple[SuspicionView, ...] | None = None
    """Older tickets that it may be the same as; for agents only."""
    erased_at: Instant | None = None
    version: int


class AuthorView(ResponseModel):
    """Who wrote a message; submitters see no agent's address."""

    kind: ActorKind
    id: str | None
    name: str


class MessageView(ResponseModel):
    """A message; without an id what has become the description of a follow-up ticket."""

    id: UUID | None
    ticket_id: UUID
    kind: MessageKind
    author: AuthorView
    body: str
    created_at: Instant
    first_response: bool
    channel: Channel
    quick_reply_id: str | None
    attachment_ids: tuple[UUID, ...] = ()
    attachments: tuple[AttachmentView, ...] = ()
    mentions: tuple[str, ...] = ()
    edited_at: Instant | None = None


class HtmlMessageView(MessageView):
    """A message with its words as HTML that is safe to show."""

    body_html: str


class LogActorView(ResponseModel):
    """Who did it."""

    kind: str
    id: str
    name: str


class LogCauseView(ResponseModel):
    """What led to it."""

    kind: str
    id: str
    type: str


class LogView(ResponseModel):
    """A line of a ticket's log: an event about it, whoever told it."""

    event_id: str
    source: str
    type: str
    occurred_at: Instant
    recorded_at: Instant
    actor: LogActorView
    cause: LogCauseView
    summary: str
    trace_id: str | None


_OTHERS = frozenset(
    {"assignee", "team", "sla", "escalation_level", "external_ref", "order_links", "attachments"}
    | {"links", "suspected_duplicates"}
)
"""The fields of the view that are not just the ticket's own."""


def view(seen: Seen, settings: Snapshot, by: ActorKind) -> TicketView:
    """A ticket with other services' facts, its orders as links where its product has some.

    As somebody of this kind may see it: what is linked for the work on it is no submitter's.
    """
    staff = by is ActorKind.AGENT
    ticket, assignment, sla = seen.ticket, seen.facts.assignment, seen.facts.sla
    own = {name: getattr(ticket, name) for name in TicketView.model_fields if name not in _OTHERS}
    return TicketView.model_validate(
        own
        | {
            "external_ref": ticket.external_ref or None,
            "attachments": seen.files,
            "links": [one for one in ticket.links if _is_shown(one.kind, by)],
            "order_links": order_links(settings, ticket.product, ticket.order_refs),
            "assignee": (
                {"id": assignment.agent_id, "name": assignment.agent_name or ""}
                if assignment.agent_id
                else None
            ),
            "team": assignment.team,
            "sla": {
                "response": {"state": sla.response_state, "due_at": sla.response_due_at},
                "resolution": {"state": sla.resolution_state, "due_at": sla.resolution_due_at},
            },
            "escalation_level": sla.escalation_level,
            "watchers": ticket.watchers if staff else None,
            "suspected_duplicates": (
                [one for one in seen.facts.suspected if not one.dismissed and ticket.is_open]
                if staff
                else None
            ),
        }
    )


def _is_shown(link: LinkKind, by: ActorKind) -> bool:
    return by is not ActorKind.SUBMITTER or link in (LinkKind.FOLLOW_UP, LinkKind.FOLLOWED_BY)


def author_view(author: Actor, by: ActorKind) -> AuthorView:
    """Who wrote something: submitters are told nobody's address, products no agent's."""
    known = author.kind not in _ADDRESSED.get(by, ())
    # Whose token has no name may bear the address for one.
    name = author.name if known or "@" not in author.name else ""
    return AuthorView(kind=author.kind, id=author.id if known else None, name=name)


_ADDRESSED = {
    ActorKind.SUBMITTER: (ActorKind.AGENT, ActorKind.SUBMITTER),
    ActorKind.PRODUCT: (ActorKind.AGENT,),
}
"""Whose ids, which may be addresses, are kept from whom."""


def message_view(
    message: Message, by: ActorKind, files: Mapping[UUID, Attachment] = MappingProxyType({})
) -> MessageView:
    """A message with its `files`, as somebody of this kind may see it."""
    return MessageView(
        id=message.id,
        ticket_id=message.ticket_id,
        kind=message.kind,
        author=author_view(message.author, by),
        body=message.body,
        created_at=message.created_at,
        first_response=message.first_response,
        channel=message.channel,
        quick_reply_id=message.quick_reply_id or None,
        attachment_ids=message.attachment_ids,
        attachments=attachment_views(message.attachment_ids, files),
        mentions=message.mentions if by is ActorKind.AGENT else (),
        edited_at=message.edited_at,
    )


def attachment_views(
    ids: Iterable[UUID], files: Mapping[UUID, Attachment]
) -> tuple[AttachmentView, ...]:
    """The files among these that are still there, in order."""
    return tuple(AttachmentView.model_validate(files[id]) for id in ids if id in files)


def follow_up_view(
    ticket: Ticket, author: Actor, by: ActorKind, files: Mapping[UUID, Attachment]
) -> MessageView:
    """A message that has become the description of a follow-up ticket."""
    return MessageView(
        id=None,
        ticket_id=ticket.id,
        kind=MessageKind.REPLY,
        author=author_view(author, by),
        body=ticket.description,
        created_at=ticket.created_at,
        first_response=False,
        channel=ticket.channel,
        quick_reply_id=None,
        attachment_ids=ticket.attachment_ids,
        attachments=attachment_views(ticket.attachment_ids, files),
    )


def log_view(line: Line) -> LogView:
    """A line of the log."""
    return LogView(
        event_id=line.event_id,
        source=line.source,
        type=line.type,
        occurred_at=line.occurred_at,
        recorded_at=line.recorded_at,
        actor=LogActorView(kind=line.actor_kind, id=line.actor_id, name=line.actor_name),
        cause=LogCauseView(kind=line.cause_kind, id=line.cause_id, type=line.cause_type),
        summary=line.summary,
        trace_id=line.trace_id,
    )
