"""What notify hears: it asks for mails, keeps a picture of each ticket, and tells the feeds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from waybill.common.v1.ticket_enums_pb2 import CHANNEL_EVENT
from waybill.intake.v1.events_pb2 import PersonErased, RequestRejected
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill.notify.v1.feed_pb2 import TicketUpdate
from waybill.routing.v1.assignment_pb2 import ASSIGNMENT_STATE_ASSIGNED, Assignment
from waybill.routing.v1.events_pb2 import TicketAssigned, TicketQueued, TicketReleased
from waybill_chassis import erasing
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, events_topic, ticket_id
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.service import Runtime

from waybill_notify import feed, store
from waybill_notify.domain import SLUG, request_for
from waybill_notify.events import (
    TICKET_EVENTS,
    happening,
    is_internal,
    is_unsubscribed,
    parse_ticket,
    without_person,
    without_words,
)
from waybill_notify.settings import Settings
from waybill_notify.store import NewDelivery, Picture

GROUP = "waybill-notify"
ASSIGNMENT_EVENTS = (TicketAssigned, TicketQueued, TicketReleased)
HEARD = (*TICKET_EVENTS, *ASSIGNMENT_EVENTS, PersonErased, RequestRejected)
"""What notify listens to."""


def consumer(rt: Runtime[Settings]) -> Consumer:
    """The reader of everybody's events."""
    settings = rt.settings
    return Consumer(
        rt.database,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group=GROUP,
        handle=partial(
            handle, feed_products=settings.feed_products, mail_domain=settings.mail_domain
        ),
        types=HEARD,
        topics=[events_topic(owner) for owner in ("intake", "routing", "sla", "kb")],
    )


async def handle(
    uow: UnitOfWork,
    events: Sequence[Event[Any]],
    *,
    feed_products: frozenset[str],
    mail_domain: str,
) -> None:
    """Take in a batch: deliveries, pictures and feed updates in one transaction."""
    subjects = [_tickets_of(event) for event in events]
    pictures = await store.lock_pictures(uow, [id for ids in subjects for id in ids])
    batch = _Batch(uow, pictures, feed_products | await store.feeds(uow), mail_domain)
    for event, ids in zip(events, subjects, strict=True):
        message = event.message
        if isinstance(message, PersonErased):
            batch.erase(ids)
        elif isinstance(message, RequestRejected):
            batch.hear_rejection(event)
        elif isinstance(message, ASSIGNMENT_EVENTS):
            batch.hear_assignment(event, ids[0])
        elif type(message) in TICKET_EVENTS:
            batch.hear_ticket(event, ids[0])
    await batch.write()
    for event in events:
        if isinstance(event.message, PersonErased):
            await erasing.forget(
                uow,
                email=event.message.email,
                name=event.message.name,
                ticket_ids=event.message.ticket_ids,
            )


def _tickets_of(event: Event[Any]) -> list[UUID]:
    message = event.message
    if isinstance(message, PersonErased):
        return [id for text in message.ticket_ids if (id := parse_id(text)) is not None]
    if isinstance(message, ASSIGNMENT_EVENTS):
        return [ticket_id(message.assignment.ticket_id)]
    if type(message) in TICKET_EVENTS:
        return [ticket_id(message.ticket.id)]
    return []


class _Batch:
    """Decides event by event, in memory; `write` puts down what came of it."""

    def __init__(
        self,
        uow: UnitOfWork,
        pictures: dict[UUID, Picture],
        feeds: frozenset[str],
        mail_domain: str,
    ) -> None:
        self._uow = uow
        self._before = dict(pictures)
        self._pictures = pictures
        self._feeds = feeds
        self._learned: set[str] = set()
        self._erased: set[UUID] = set()
        self._unsubscribed: set[UUID] = set()
        self._deliveries: list[NewDelivery] = []
        self._mail_domain = mail_domain

    async def write(self) -> None:
        """Write what the events have changed."""
        await store.save_pictures(
            self._uow, [new for id, new in self._pictures.items() if new != self._before[id]]
        )
        await store.learn_feeds(self._uow, self._learned)
        await store.add_deliveries(self._uow, self._deliveries)
        await store.suppress_deliveries(self._uow, sorted(self._unsubscribed))
        await store.erase_deliveries(self._uow, sorted(self._erased))

    def hear_ticket(self, event: Event[Any], id: UUID) -> None:
        """Something happened to a ticket at intake."""
        if event.message.ticket.HasField("erased_at"):
            self.erase([id])
        picture = self._pictures[id]
        if picture.erased:
            event = replace(event, message=without_person(event.message))
        message = event.message
        # What happened did happen, though it is heard late; how things stand is the newer one's.
        stale = (event.sequence or 0) <= picture.sequence
        if stale:
            ticket = parse_ticket(picture.ticket)
        else:
            ticket = message.ticket
            if ticket.HasField("unsubscribed_at") and not is_unsubscribed(picture.ticket):
                self._unsubscribed.add(id)
            picture = self._pictures[id] = with_ticket(picture, ticket, event.sequence or 0)
        if ticket.channel == CHANNEL_EVENT:
            self._learn(ticket.product)
        if not is_internal(message):
            unwanted = ticket.HasField("unsubscribed_at")
            self._ask_for_mail(event, id, stale=stale, unwanted=unwanted)
            if ticket.product in self._feeds:
                update = feed.ticket_update(event, ticket, picture.assignee_name)
                feed.tell(self._uow, ticket.product, str(id), update, event.trace)
        self._tell_held(event, id)

    def hear_assignment(self, event: Event[Any], id: UUID) -> None:
        """Somebody has a ticket, or nobody has it any more."""
        picture = self._pictures[id]
        if (event.sequence or 0) <= picture.assignment_sequence:
            return
        picture = with_assignment(picture, event.message.assignment, event.sequence or 0)
        if isinstance(event.message, TicketAssigned):
            picture = replace(picture, held=feed.assigned(event).SerializeToString())
        self._pictures[id] = picture
        self._tell_held(event, id)

    def hear_rejection(self, event: Event[RequestRejected]) -> None:
        """A product's request was not accepted."""
        product = event.message.product
        self._learn(product)
        if product in self._feeds:
            feed.tell(self._uow, product, event.subject, feed.rejection(event), event.trace)

    def erase(self, ids: Sequence[UUID]) -> None:
        """A person is to be forgotten, and what is heard of them late is not taken in."""
        for id in ids:
            if not self._pictures[id].erased:
                self._erased.add(id)
                self._pictures[id] = without_submitter(self._pictures[id])

    def _tell_held(self, event: Event[Any], id: UUID) -> None:
        """Tell of an assignment, once the ticket it belongs to is known."""
        picture = self._pictures[id]
        if picture.held is None or not picture.ticket:
            return
        if picture.product in self._feeds:
            update = TicketUpdate.FromString(picture.held)
            ticket = parse_ticket(picture.ticket)
            update.ticket.CopyFrom(feed.feed_ticket(ticket, picture.assignee_name))
            feed.tell(self._uow, picture.product, str(id), update, event.trace)
        self._pictures[id] = replace(picture, held=None)

    def _learn(self, product: str) -> None:
        # It asked by Kafka, so its topics are there: they are made together.
        if product not in self._feeds and SLUG.fullmatch(product):
            self._feeds |= {product}
            self._learned.add(product)

    def _ask_for_mail(self, event: Event[Any], id: UUID, *, stale: bool, unwanted: bool) -> None:
        request = request_for(happening(event.message), stale=stale)
        if request is None:
            return
        delivery = new_id()
        self._deliveries.append(
            NewDelivery(
                id=delivery,
                ticket_id=id,
                product=event.message.ticket.product,
                event_id=event.id,
                event_type=event.type,
                event_source=event.source,
                template=request.template,
                recipient=request.recipient,
                message_id=f"<{delivery}@{self._mail_domain}>",
                facts=request.facts,
                traceparent=event.trace.traceparent,
                tracestate=event.trace.tracestate,
                suppressed=unwanted,
            )
        )


def without_submitter(picture: Picture) -> Picture:
    """The picture without the person and their words, for good."""
    ticket = without_words(parse_ticket(picture.ticket)).SerializeToString()
    return replace(picture, ticket=ticket, erased=True)


def with_ticket(picture: Picture, ticket: Ticket, sequence: int) -> Picture:
    """The picture after a newer fact of intake's."""
    if picture.erased:
        ticket = without_words(ticket)
    return replace(
        picture, sequence=sequence, product=ticket.product, ticket=ticket.SerializeToString()
    )


def with_assignment(picture: Picture, assignment: Assignment, sequence: int) -> Picture:
    """The picture after a newer fact of routing's."""
    has_agent = assignment.state == ASSIGNMENT_STATE_ASSIGNED
    return replace(
        picture,
        assignment_sequence=sequence,
        assignee_id=assignment.agent.id if has_agent else "",
        assignee_name=assignment.agent.name if has_agent else "",
        team=assignment.team,
        held=picture.held if has_agent else None,
    )
