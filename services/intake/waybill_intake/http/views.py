"""Tickets, messages and the log as REST shows them."""

from typing import Any
from uuid import UUID

from waybill_chassis.http import Instant, ResponseModel

from waybill_intake.domain.ticket import Message
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
    version: int


class AuthorView(ResponseModel):
    """Who wrote a message; submitters see no agent's address."""

    kind: ActorKind
    id: str | None
    name: str


class MessageView(ResponseModel):
    """A message."""

    id: UUID
    ticket_id: UUID
    kind: MessageKind
    author: AuthorView
    body: str
    created_at: Instant
    first_response: bool
    channel: Channel
    quick_reply_id: str | None
    attachment_ids: tuple[UUID, ...] = ()


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


def view(seen: Seen) -> TicketView:
    """A ticket with other services' facts."""
    ticket, assignment, sla = seen.ticket, seen.facts.assignment, seen.facts.sla
    own = {
        name: getattr(ticket, name)
        for name in TicketView.model_fields
        if name not in ("assignee", "team", "sla", "escalation_level", "external_ref")
    }
    return TicketView.model_validate(
        own
        | {
            "external_ref": ticket.external_ref or None,
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
        }
    )


def message_view(message: Message, by: ActorKind) -> MessageView:
    """A message, as somebody of this kind may see it."""
    author = message.author
    shown = by is ActorKind.AGENT or author.kind is not ActorKind.AGENT
    return MessageView(
        id=message.id,
        ticket_id=message.ticket_id,
        kind=message.kind,
        author=AuthorView(kind=author.kind, id=author.id if shown else None, name=author.name),
        body=message.body,
        created_at=message.created_at,
        first_response=message.first_response,
        channel=message.channel,
        quick_reply_id=message.quick_reply_id or None,
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
