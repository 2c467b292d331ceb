"""What a product reads about its tickets: `TicketUpdate` as JSON on its own topic."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from waybill.common.v1.actor_pb2 import Actor, ActorKind, Cause
from waybill.common.v1.ticket_enums_pb2 import (
    Channel,
    CloseReason,
    Priority,
    Status,
    TicketType,
)
from waybill.intake.v1.events_pb2 import MessagePosted, RequestRejected, TicketStatusChanged
from waybill.intake.v1.ticket_pb2 import Message, Ticket
from waybill.notify.v1.feed_pb2 import (
    FeedActor,
    FeedCause,
    FeedFieldError,
    FeedMessage,
    FeedRejection,
    FeedSubmitter,
    FeedTicket,
    TicketUpdate,
)
from waybill.routing.v1.events_pb2 import TicketAssigned
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import JSON, Event, TraceContext, feed_topic
from waybill_chassis.times import moment, timestamp
from waybill_chassis.words import word

from waybill_notify.domain import What
from waybill_notify.events import TICKET_EVENTS

SOURCE = "/waybill/notify/feed"
"""Of its own, so that a ticket's updates are numbered without gaps."""


def tell(
    uow: UnitOfWork, product: str, subject: str, update: TicketUpdate, trace: TraceContext
) -> None:
    """Put an update on the product's feed."""
    content = MessageToDict(update, preserving_proto_field_name=True)
    uow.emit(
        update,
        subject=subject,
        topic=feed_topic(product),
        source=SOURCE,
        content_type=JSON,
        payload=json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(),
        occurred_at=moment(update, "occurred_at"),
        trace=trace,
    )


def ticket_update(event: Event[Any], ticket: Ticket, assignee: str) -> TicketUpdate:
    """An event of intake that carries a ticket, as the feed tells it."""
    message = event.message
    update = _update(TICKET_EVENTS[type(message)], event)
    update.ticket.CopyFrom(feed_ticket(ticket, assignee))
    if isinstance(message, TicketStatusChanged):
        update.previous_status = word(Status, getattr(message, "from"))
        update.comment = message.comment
    elif isinstance(message, MessagePosted):
        update.message.CopyFrom(_message(message.message))
    return update


def assigned(event: Event[TicketAssigned]) -> TicketUpdate:
    """That an agent has the ticket; the ticket itself is still to be filled in."""
    return _update(What.ASSIGNED, event)


def rejection(event: Event[RequestRejected]) -> TicketUpdate:
    """That a request could not be accepted."""
    message = event.message
    update = _update("request_rejected", event)
    update.rejection.CopyFrom(
        FeedRejection(
            request_id=message.request_id,
            request_type=message.request_type,
            external_ref=message.external_ref,
            reason=message.reason,
            errors=[
                FeedFieldError(field=error.field, message=error.message) for error in message.errors
            ],
        )
    )
    return update


def feed_ticket(ticket: Ticket, assignee: str) -> FeedTicket:
    """A ticket, as far as it is public."""
    found = FeedTicket(
        id=ticket.id,
        number=ticket.number,
        external_ref=ticket.external_ref,
        product=ticket.product,
        type=word(TicketType, ticket.type),
        priority=word(Priority, ticket.priority),
        status=word(Status, ticket.status),
        title=ticket.title,
        description=ticket.description,
        language=ticket.language,
        tags=ticket.tags,
        channel=word(Channel, ticket.channel),
        order_refs=ticket.order_refs,
        assignee=assignee,
        close_reason=word(CloseReason, ticket.close_reason),
        rating=ticket.rating.score,
        merged_into=ticket.merged_into,
        occurrences=ticket.occurrences,
        version=ticket.version,
    )
    if ticket.HasField("submitter"):
        person = ticket.submitter
        found.submitter.CopyFrom(FeedSubmitter(id=person.id, email=person.email, name=person.name))
    for name in ("created_at", "updated_at", "first_response_at", "resolved_at", "closed_at",
                 "custom_fields"):  # fmt: skip
        if ticket.HasField(name):
            getattr(found, name).CopyFrom(getattr(ticket, name))
    return found


def _update(what: str, event: Event[Any]) -> TicketUpdate:
    actor: Actor = event.message.actor
    cause: Cause = event.message.cause
    return TicketUpdate(
        actor=_actor(actor),
        cause=FeedCause(id=cause.id, type=cause.type),
        what=what,
        occurred_at=timestamp(event.time),
    )


def _actor(actor: Actor) -> FeedActor:
    return FeedActor(kind=word(ActorKind, actor.kind), name=actor.name)


def _message(message: Message) -> FeedMessage:
    found = FeedMessage(
        id=message.id,
        author=_actor(message.author),
        body=message.body,
        attachment_ids=message.attachment_ids,
    )
    if message.HasField("created_at"):
        found.created_at.CopyFrom(message.created_at)
    return found
