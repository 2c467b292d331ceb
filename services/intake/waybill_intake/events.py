"""Protobuf to domain and back."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from google.protobuf.struct_pb2 import Struct, Value
from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.intake.v1 import events_pb2, ticket_pb2
from waybill.routing.v1.assignment_pb2 import ASSIGNMENT_STATE_ASSIGNED
from waybill.routing.v1.assignment_pb2 import Assignment as AssignmentProto
from waybill.routing.v1.events_pb2 import TriageSuggestion
from waybill.sla.v1.clock_pb2 import Clock
from waybill_chassis.events import format_time
from waybill_chassis.times import duration, moment, timestamp
from waybill_chassis.words import number, word

from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.facts import Assignment, Sla
from waybill_intake.domain.rules import Suggestion
from waybill_intake.domain.ticket import (
    Actor,
    Attached,
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
    Watcher,
)
from waybill_intake.domain.words import ActorKind, FollowUpKind, Priority, TicketType

TOLD: tuple[type[Proto], ...] = (
    events_pb2.TicketOpened,
    events_pb2.TicketEdited,
    events_pb2.TicketStatusChanged,
    events_pb2.MessagePosted,
    events_pb2.AttachmentAdded,
    events_pb2.ReminderPosted,
    events_pb2.TicketMerged,
    events_pb2.TicketLinked,
    events_pb2.TicketRated,
    events_pb2.PersonErased,
    events_pb2.RequestRejected,
)
"""What intake tells."""


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _struct(fields: Mapping[str, Any]) -> Struct | None:
    return json_format.ParseDict(dict(fields), Struct()) if fields else None


def _value(value: Any) -> Value:
    if isinstance(value, tuple):
        value = [one.email if isinstance(one, Watcher) else one for one in value]
    if isinstance(value, datetime):
        value = format_time(value)
    if value in ("", None):
        value = None
    return json_format.ParseDict(value, Value())


def to_actor(actor: Actor) -> actor_pb2.Actor:
    """Who did it."""
    return actor_pb2.Actor(
        kind=number(actor_pb2.ActorKind, actor.kind),
        id=actor.id,
        name=actor.name,
        email=actor.email,
    )


def from_actor(actor: actor_pb2.Actor) -> Actor:
    """Who did it; whoever does not say what they are counts as automation."""
    kind = word(actor_pb2.ActorKind, actor.kind) or ActorKind.AUTOMATION
    return Actor(ActorKind(kind), actor.id, actor.name, actor.email)


def _submitter(submitter: Submitter | None) -> ticket_pb2.Submitter | None:
    if submitter is None:
        return None
    return ticket_pb2.Submitter(
        id=str(submitter.id), email=submitter.email, name=submitter.name, tier=submitter.tier
    )


def _rating(rating: Rating | None) -> ticket_pb2.Rating | None:
    if rating is None:
        return None
    return ticket_pb2.Rating(
        score=rating.score, comment=rating.comment, rated_at=timestamp(rating.rated_at)
    )


def _link(link: Link) -> ticket_pb2.TicketLink:
    return ticket_pb2.TicketLink(
        kind=number(ticket_pb2.LinkKind, link.kind),
        ticket_id=str(link.ticket_id),
        number=link.number,
    )


def to_ticket(ticket: Ticket) -> ticket_pb2.Ticket:
    """The whole ticket."""
    return ticket_pb2.Ticket(
        id=str(ticket.id),
        number=ticket.number,
        product=ticket.product,
        type=number(ticket_enums_pb2.TicketType, ticket.type),
        priority=number(ticket_enums_pb2.Priority, ticket.priority),
        status=number(ticket_enums_pb2.Status, ticket.status),
        title=ticket.title,
        description=ticket.description,
        language=ticket.language,
        tags=ticket.tags,
        custom_fields=_struct(ticket.custom_fields),
        channel=number(ticket_enums_pb2.Channel, ticket.channel),
        submitter=_submitter(ticket.submitter),
        order_refs=ticket.order_refs,
        external_ref=ticket.external_ref,
        occurrences=ticket.occurrences,
        created_at=timestamp(ticket.created_at),
        updated_at=timestamp(ticket.updated_at),
        status_since=timestamp(ticket.status_since),
        episode=ticket.episode,
        episode_since=timestamp(ticket.episode_since),
        first_response_at=timestamp(ticket.first_response_at),
        resolved_at=timestamp(ticket.resolved_at),
        closed_at=timestamp(ticket.closed_at),
        close_reason=number(ticket_enums_pb2.CloseReason, ticket.close_reason),
        response_time=duration(_span(ticket.response_seconds)),
        resolution_time=duration(_span(ticket.resolution_seconds)),
        reopenings=ticket.reopenings,
        reopened_at=timestamp(ticket.reopened_at),
        last_public_message_at=timestamp(ticket.last_public_message_at),
        last_public_message_by=number(actor_pb2.ActorKind, ticket.last_public_message_by),
        rating=_rating(ticket.rating),
        merged_into=str(ticket.merged_into or ""),
        links=map(_link, ticket.links),
        set_by_person=ticket.set_by_person,
        version=ticket.version,
        unsubscribed_at=timestamp(ticket.unsubscribed_at),
        attachment_ids=map(str, ticket.attachment_ids),
        watchers=[
            ticket_pb2.Watcher(email=watcher.email, name=watcher.name)
            for watcher in ticket.watchers
        ],
        outcome=number(ticket_pb2.Outcome, ticket.outcome),
        erased_at=timestamp(ticket.erased_at),
    )


def to_message(message: Message) -> ticket_pb2.Message:
    """A message of the conversation."""
    return ticket_pb2.Message(
        id=str(message.id),
        ticket_id=str(message.ticket_id),
        kind=number(ticket_pb2.MessageKind, message.kind),
        author=to_actor(message.author),
        body=message.body,
        created_at=timestamp(message.created_at),
        first_response=message.first_response,
        channel=number(ticket_enums_pb2.Channel, message.channel),
        quick_reply_id=message.quick_reply_id,
        attachment_ids=map(str, message.attachment_ids),
        mentions=message.mentions,
        edited_at=timestamp(message.edited_at),
        original_ticket_id=str(message.original_ticket_id or ""),
    )


def to_attachment(file: Attachment) -> ticket_pb2.Attachment:
    """A file, without its content."""
    return ticket_pb2.Attachment(
        id=str(file.id),
        ticket_id=str(file.ticket_id or ""),
        message_id=str(file.message_id or ""),
        filename=file.filename,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=timestamp(file.created_at),
    )


def to_event(fact: Fact, actor: Actor, cause: actor_pb2.Cause) -> Proto:
    """The event that tells of a fact."""
    common: dict[str, Any] = {
        "actor": to_actor(actor),
        "cause": cause,
        "ticket": to_ticket(fact.ticket),
    }
    event: Proto
    match fact:
        case Opened():
            event = events_pb2.TicketOpened(**common)
        case Edited(changes=changes):
            told = [
                events_pb2.FieldChange(
                    field=change.field, before=_value(change.before), after=_value(change.after)
                )
                for change in changes
            ]
            event = events_pb2.TicketEdited(**common, changes=told)
        case Moved(source=source, ticket=ticket, comment=comment):
            # A keyword of the language, so it cannot be given like the others.
            common["from"] = number(ticket_enums_pb2.Status, source)
            event = events_pb2.TicketStatusChanged(
                **common,
                to=number(ticket_enums_pb2.Status, ticket.status),
                reason=number(ticket_enums_pb2.CloseReason, ticket.close_reason),
                comment=comment,
            )
        case Posted(message=message):
            event = events_pb2.MessagePosted(**common, message=to_message(message))
        case Reminded(kind=kind, ticket=ticket):
            event = events_pb2.ReminderPosted(
                **common, kind=number(ticket_enums_pb2.FollowUpKind, kind), episode=ticket.episode
            )
        case Merged(role=role, merge=merge):
            event = events_pb2.TicketMerged(
                **common,
                role=number(events_pb2.MergeRole, role),
                source_ticket_id=str(merge.source_id),
                target_ticket_id=str(merge.target_id),
                undone=merge.undone_at is not None,
            )
        case Linked(link=link):
            event = events_pb2.TicketLinked(**common, link=_link(link))
        case Attached(attachment=attachment):
            event = events_pb2.AttachmentAdded(
                **common, attachment=to_attachment(attachment), internal=attachment.internal
            )
        case Rated(rating=rating):
            event = events_pb2.TicketRated(**common, rating=_rating(rating))
        case _:
            raise TypeError(f"{type(fact).__name__} is no fact that is told")
    return event


def from_assignment(assignment: AssignmentProto, sequence: int) -> Assignment:
    """Who has a ticket, as routing says."""
    agent = assignment.agent
    held = assignment.state == ASSIGNMENT_STATE_ASSIGNED and assignment.HasField("agent")
    return Assignment(
        sequence=sequence,
        agent_id=agent.id if held else None,
        agent_name=agent.name if held else None,
        agent_email=agent.email.lower() if held else None,
        team=assignment.team or None,
    )


def from_clock(clock: Clock, sequence: int) -> Sla:
    """Where the targets stand, as sla says."""
    found: dict[str, tuple[str | None, datetime | None]] = {}
    for target in clock.targets:
        if target.kind == ticket_enums_pb2.TARGET_KIND_RESPONSE:
            name = "response"
        elif target.kind == ticket_enums_pb2.TARGET_KIND_RESOLUTION:
            name = "resolution"
        else:
            continue
        found[name] = (
            word(ticket_enums_pb2.TargetState, target.state) or None,
            moment(target, "due_at"),
        )
    nothing = (None, None)
    return Sla(
        sequence=sequence,
        response_state=found.get("response", nothing)[0],
        response_due_at=found.get("response", nothing)[1],
        resolution_state=found.get("resolution", nothing)[0],
        resolution_due_at=found.get("resolution", nothing)[1],
        escalation_level=word(ticket_enums_pb2.EscalationLevel, clock.escalation_level) or None,
    )


def from_suggestions(suggestions: Sequence[TriageSuggestion]) -> list[Suggestion]:
    """What triage suggests, without what we have no word for."""
    found = []
    for one in suggestions:
        value: Any
        match one.WhichOneof("value"):
            case "type":
                name = word(ticket_enums_pb2.TicketType, one.type)
                field, value = "type", TicketType(name) if name else None
            case "priority":
                name = word(ticket_enums_pb2.Priority, one.priority)
                field, value = "priority", Priority(name) if name else None
            case "language":
                field, value = "language", one.language
            case "tag":
                field, value = "tags", one.tag.lower()
            case _:
                continue
        if value:
            found.append(Suggestion(field, value, one.confidence))
    return found


def from_follow_up(number: int) -> FollowUpKind | None:
    """What is due; None for a kind of the future."""
    name = word(ticket_enums_pb2.FollowUpKind, number)
    return FollowUpKind(name) if name else None
