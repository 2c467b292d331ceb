"""Protobuf to domain and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as Proto
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.intake.v1 import events_pb2, service_pb2, ticket_pb2
from waybill.routing.v1.assignment_pb2 import ASSIGNMENT_STATE_ASSIGNED
from waybill.routing.v1.assignment_pb2 import Assignment as AssignmentProto
from waybill.routing.v1.events_pb2 import TriageSuggestion
from waybill.sla.v1.clock_pb2 import Clock

from waybill_intake.domain.facts import Assignment, Sla
from waybill_intake.domain.rules import Suggestion
from waybill_intake.domain.ticket import (
    Actor,
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
from waybill_intake.domain.words import ActorKind, FollowUpKind, Priority, TicketType

W = TypeVar("W", bound=StrEnum)


def _numbers(enum: Any, prefix: str) -> dict[str, Any]:
    """The numbers of a protobuf enum by REST word; not those of *_UNSPECIFIED."""
    return {
        name.removeprefix(prefix).lower(): number
        for name, number in enum.items()
        if not name.endswith("_UNSPECIFIED")
    }


TYPES = _numbers(ticket_enums_pb2.TicketType, "TICKET_TYPE_")
PRIORITIES = _numbers(ticket_enums_pb2.Priority, "PRIORITY_")
STATUSES = _numbers(ticket_enums_pb2.Status, "STATUS_")
REASONS = _numbers(ticket_enums_pb2.CloseReason, "CLOSE_REASON_")
CHANNELS = _numbers(ticket_enums_pb2.Channel, "CHANNEL_")
FOLLOW_UPS = _numbers(ticket_enums_pb2.FollowUpKind, "FOLLOW_UP_KIND_")
TARGET_STATES = _numbers(ticket_enums_pb2.TargetState, "TARGET_STATE_")
LEVELS = _numbers(ticket_enums_pb2.EscalationLevel, "ESCALATION_LEVEL_")
ACTOR_KINDS = _numbers(actor_pb2.ActorKind, "ACTOR_KIND_")
CAUSE_KINDS = _numbers(actor_pb2.CauseKind, "CAUSE_KIND_")
MESSAGE_KINDS = _numbers(ticket_pb2.MessageKind, "MESSAGE_KIND_")
LINK_KINDS = _numbers(ticket_pb2.LinkKind, "LINK_KIND_")
MERGE_ROLES = _numbers(events_pb2.MergeRole, "MERGE_ROLE_")
ACTION_KINDS = _numbers(service_pb2.ActionKind, "ACTION_KIND_")


def word(numbers: Mapping[str, int], number: int) -> str:
    """The REST word of an enum's number; empty for unspecified and for numbers of the future."""
    return next((word for word, known in numbers.items() if known == number), "")


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as protobuf has it."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def moment(message: Proto, field: str) -> datetime | None:
    """A moment of a message, None where it is not set."""
    if not message.HasField(field):
        return None
    found: datetime = getattr(message, field).ToDatetime(UTC)
    return found


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    found = Duration()
    found.FromTimedelta(timedelta(seconds=seconds))
    return found


def _struct(fields: Mapping[str, Any]) -> Struct | None:
    return json_format.ParseDict(dict(fields), Struct()) if fields else None


def _value(value: Any) -> Value:
    if isinstance(value, tuple):
        value = list(value)
    if value in ("", None):
        value = None
    return json_format.ParseDict(value, Value())


def to_actor(actor: Actor) -> actor_pb2.Actor:
    """Who did it."""
    return actor_pb2.Actor(
        kind=ACTOR_KINDS[actor.kind], id=actor.id, name=actor.name, email=actor.email
    )


def from_actor(actor: actor_pb2.Actor) -> Actor:
    """Who did it; whoever does not say what they are counts as automation."""
    kind = word(ACTOR_KINDS, actor.kind) or ActorKind.AUTOMATION
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
        kind=LINK_KINDS[link.kind], ticket_id=str(link.ticket_id), number=link.number
    )


def to_ticket(ticket: Ticket) -> ticket_pb2.Ticket:
    """The whole ticket."""
    return ticket_pb2.Ticket(
        id=str(ticket.id),
        number=ticket.number,
        product=ticket.product,
        type=TYPES[ticket.type],
        priority=PRIORITIES[ticket.priority],
        status=STATUSES[ticket.status],
        title=ticket.title,
        description=ticket.description,
        language=ticket.language,
        tags=ticket.tags,
        custom_fields=_struct(ticket.custom_fields),
        channel=CHANNELS[ticket.channel],
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
        close_reason=REASONS.get(ticket.close_reason or "", 0),
        response_time=_duration(ticket.response_seconds),
        resolution_time=_duration(ticket.resolution_seconds),
        reopenings=ticket.reopenings,
        reopened_at=timestamp(ticket.reopened_at),
        last_public_message_at=timestamp(ticket.last_public_message_at),
        last_public_message_by=ACTOR_KINDS.get(ticket.last_public_message_by or "", 0),
        rating=_rating(ticket.rating),
        merged_into=str(ticket.merged_into or ""),
        links=map(_link, ticket.links),
        set_by_person=ticket.set_by_person,
        version=ticket.version,
    )


def to_message(message: Message) -> ticket_pb2.Message:
    """A message of the conversation."""
    return ticket_pb2.Message(
        id=str(message.id),
        ticket_id=str(message.ticket_id),
        kind=MESSAGE_KINDS[message.kind],
        author=to_actor(message.author),
        body=message.body,
        created_at=timestamp(message.created_at),
        first_response=message.first_response,
        channel=CHANNELS[message.channel],
        quick_reply_id=message.quick_reply_id,
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
            common["from"] = STATUSES[source]
            event = events_pb2.TicketStatusChanged(
                **common,
                to=STATUSES[ticket.status],
                reason=REASONS.get(ticket.close_reason or "", 0),
                comment=comment,
            )
        case Posted(message=message):
            event = events_pb2.MessagePosted(**common, message=to_message(message))
        case Reminded(kind=kind, ticket=ticket):
            event = events_pb2.ReminderPosted(
                **common, kind=FOLLOW_UPS[kind], episode=ticket.episode
            )
        case Merged(role=role, source_id=source_id, target_id=target_id):
            event = events_pb2.TicketMerged(
                **common,
                role=MERGE_ROLES[role],
                source_ticket_id=str(source_id),
                target_ticket_id=str(target_id),
            )
        case Linked(link=link):
            event = events_pb2.TicketLinked(**common, link=_link(link))
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
        found[name] = (word(TARGET_STATES, target.state) or None, moment(target, "due_at"))
    nothing = (None, None)
    return Sla(
        sequence=sequence,
        response_state=found.get("response", nothing)[0],
        response_due_at=found.get("response", nothing)[1],
        resolution_state=found.get("resolution", nothing)[0],
        resolution_due_at=found.get("resolution", nothing)[1],
        escalation_level=word(LEVELS, clock.escalation_level) or None,
    )


def from_suggestions(suggestions: Sequence[TriageSuggestion]) -> list[Suggestion]:
    """What triage suggests, without what we have no word for."""
    found = []
    for one in suggestions:
        value: Any
        match one.WhichOneof("value"):
            case "type":
                name = word(TYPES, one.type)
                field, value = "type", TicketType(name) if name else None
            case "priority":
                name = word(PRIORITIES, one.priority)
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
    name = word(FOLLOW_UPS, number)
    return FollowUpKind(name) if name else None


def ticket_id(text: str) -> UUID | None:
    """The ticket's id, None where the text is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
