"""Protobuf <-> domain."""

from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from waybill.common.v1.actor_pb2 import (
    ACTOR_KIND_SUBMITTER,
    CAUSE_KIND_EVENT,
    Actor,
    ActorKind,
    Cause,
)
from waybill.common.v1.ticket_enums_pb2 import FOLLOW_UP_KIND_REMINDER_2, CloseReason, Status
from waybill.intake.v1.events_pb2 import (
    AttachmentAdded,
    MessagePosted,
    ReminderPosted,
    TicketEdited,
    TicketLinked,
    TicketMerged,
    TicketOpened,
    TicketRated,
    TicketStatusChanged,
)
from waybill.intake.v1.ticket_pb2 import MESSAGE_KIND_REPLY, Outcome, Ticket
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1.events_pb2 import NotificationDelivered, NotificationFailed
from waybill_chassis import erasing
from waybill_chassis.causes import automation
from waybill_chassis.times import timestamp
from waybill_chassis.words import number, word

from waybill_notify.domain import Delivery, Happening, Knowledge, Person, State, What

M = TypeVar("M", bound=Message)

TICKET_EVENTS = {
    TicketOpened: What.OPENED,
    TicketEdited: What.EDITED,
    TicketStatusChanged: What.STATUS_CHANGED,
    MessagePosted: What.MESSAGE_POSTED,
    ReminderPosted: What.REMINDER_POSTED,
    AttachmentAdded: What.ATTACHMENT_ADDED,
    TicketMerged: What.MERGED,
    TicketLinked: What.LINKED,
    TicketRated: What.RATED,
}
"""Intake's events that carry a ticket, and what they mean in the feed."""

_INTERNAL_FIELDS = ("checklist.", "notes", "suspected_duplicates", "watchers")
"""What agents do among themselves: changes of nothing else reach nobody outside."""

TOLD: tuple[type[Message], ...] = (NotificationDelivered, NotificationFailed)
"""What notify tells the other services."""


def is_internal(message: Any) -> bool:
    """Whether an event of intake must reach neither the submitter nor a feed."""
    if isinstance(message, MessagePosted):
        # A kind that is not known yet is not known to be public either.
        return message.message.kind != MESSAGE_KIND_REPLY
    if isinstance(message, TicketEdited) and message.changes:
        return all(change.field.startswith(_INTERNAL_FIELDS) for change in message.changes)
    return isinstance(message, AttachmentAdded) and message.internal


def person(actor: Actor) -> Person:
    """Who did something."""
    return Person(word(ActorKind, actor.kind), actor.id, actor.name, actor.email)


def happening(message: Any) -> Happening:
    """An event of intake that carries a ticket, as the domain sees it."""
    ticket: Ticket = message.ticket
    submitter = (
        Person("submitter", ticket.submitter.id, ticket.submitter.name, ticket.submitter.email)
        if ticket.HasField("submitter")
        else None
    )
    extra: dict[str, Any] = {}
    if isinstance(message, MessagePosted):
        extra["body"] = message.message.body
    elif isinstance(message, TicketStatusChanged):
        extra = {
            "comment": message.comment,
            "status": word(Status, message.to),
            "close_reason": word(CloseReason, message.reason),
        }
    elif isinstance(message, ReminderPosted):
        extra["reminder"] = 2 if message.kind == FOLLOW_UP_KIND_REMINDER_2 else 1
    elif isinstance(message, TicketEdited) and any(
        change.field == "outcome" for change in message.changes
    ):
        extra["outcome"] = word(Outcome, ticket.outcome)
    return Happening(
        what=TICKET_EVENTS[type(message)],
        actor=person(message.actor),
        submitter=submitter,
        number=ticket.number,
        product=ticket.product,
        title=ticket.title,
        description=ticket.description,
        language=ticket.language,
        **extra,
    )


def parse_ticket(data: bytes) -> Ticket:
    """A ticket from a picture; one that cannot be read is as good as none."""
    try:
        return Ticket.FromString(data)
    except DecodeError:
        return Ticket()


def is_unsubscribed(data: bytes) -> bool:
    """Whether the submitter of a ticket wants no more messages about it."""
    return parse_ticket(data).HasField("unsubscribed_at")


def without_words(ticket: Ticket) -> Ticket:
    """A ticket without its submitter's name, address and words; a stub stays one."""
    found = Ticket()
    found.CopyFrom(ticket)
    erasing.scrub(found, None, of_theirs=True)
    if found.HasField("submitter"):
        found.submitter.email = found.submitter.name = ""
    return found


def without_person(message: M) -> M:
    """An event of intake without the submitter of its ticket, and without all words."""
    found = type(message)()
    found.CopyFrom(message)
    erasing.scrub(found, None, of_theirs=True)
    told: Any = found
    if told.ticket.HasField("submitter"):
        told.ticket.submitter.email = told.ticket.submitter.name = ""
    if told.actor.kind == ACTOR_KIND_SUBMITTER:
        told.actor.name = told.actor.email = ""
    if isinstance(found, MessagePosted) and found.message.author.kind == ACTOR_KIND_SUBMITTER:
        found.message.author.name = found.message.author.email = ""
    return found


def to_delivery(delivery: Delivery) -> delivery_pb2.Delivery:
    """A delivery as other services see it."""
    return delivery_pb2.Delivery(
        id=str(delivery.id),
        ticket_id=str(delivery.ticket_id),
        event_id=delivery.event_id,
        template=delivery.template,
        channel=number(delivery_pb2.DeliveryChannel, delivery.channel),
        recipient=delivery.recipient,
        state=number(delivery_pb2.DeliveryState, delivery.state),
        attempts=delivery.attempts,
        message_id=delivery.message_id,
        created_at=timestamp(delivery.created_at),
        next_attempt_at=timestamp(delivery.next_attempt_at),
        delivered_at=timestamp(delivery.delivered_at),
        last_error=delivery.last_error,
        updated_at=timestamp(delivery.updated_at),
    )


def outcome_event(
    delivery: Delivery, knowledge: Knowledge | None = None
) -> NotificationDelivered | NotificationFailed:
    """What is told of a delivery that has ended."""
    actor = automation("notify")
    cause = Cause(
        kind=CAUSE_KIND_EVENT,
        id=delivery.event_id,
        type=delivery.event_type,
        source=delivery.event_source,
    )
    if delivery.state is State.DELIVERED:
        told = to_delivery(delivery)
        told.knowledge_answer = number(delivery_pb2.KnowledgeAnswer, knowledge)
        return NotificationDelivered(actor=actor, cause=cause, delivery=told)
    return NotificationFailed(
        actor=actor, cause=cause, delivery=to_delivery(delivery), reason=delivery.last_error
    )
