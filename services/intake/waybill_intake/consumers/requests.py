"""What products ask for: done in batches, or answered with the reason why not; once each."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from waybill.common.v1.actor_pb2 import CAUSE_KIND_EVENT, Cause
from waybill.intake.v1 import events_pb2
from waybill_chassis import causes
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.lookup import parse_number, unknown_ticket
from waybill_chassis.problems import Problem
from waybill_chassis.stored_settings import Snapshot
from waybill_chassis.times import timestamp

from waybill_intake import answering
from waybill_intake.attaching import ids_in
from waybill_intake.bodies import (
    MessageRequest,
    ResolutionRequest,
    SubmitterBody,
    TicketRequest,
)
from waybill_intake.consumers.decoding import Request
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.attachments import Owner
from waybill_intake.domain.moves import require_open
from waybill_intake.domain.ticket import Actor, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    MessageKind,
    Status,
)
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.store import tickets
from waybill_intake.usecases import (
    Opening,
    Person,
    Reception,
    Refs,
    change_status,
    check,
    post_message,
)


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    """Do what is asked for in the order it was asked, with a few statements for all of it."""
    docket = Docket(uow)
    bodies = [event.message.body for event in events if event.message.body is not None]
    wanted = {
        (event.message.product, event.message.body.external_ref)
        for event in events
        if event.message.body is not None and event.message.body.external_ref
    }
    refs = await tickets.lock_refs(uow, sorted(wanted)) if wanted else {}
    ids = await _addressed(uow, bodies)
    answered = [
        id
        for event in events
        if isinstance(event.message.body, MessageRequest) and (id := _id_of(refs, ids, event))
    ]
    await answering.take(docket, [*refs.values(), *ids.values()], answered)
    await docket.take_files(ids_in(bodies))
    settings = await uow.settings()
    openings = _openings(events, settings)
    follow_ups = _follow_ups(docket, refs, ids, events, settings)
    reception = await Reception.prepare(docket, [*openings.values(), *follow_ups.values()], refs)
    for index, event in enumerate(events):
        request: Request = event.message
        try:
            if request.problem is not None:
                raise request.problem
            if index in openings:
                reception.open(openings[index])
            else:
                _act(docket, refs, ids, event, reception, follow_ups.get(index))
        except Problem as problem:
            _reject(uow, event, problem)
    await docket.write()


def _openings(events: Sequence[Event[Any]], settings: Snapshot) -> dict[int, Opening]:
    """The tickets that are asked for, by their place in the batch, without those not taken."""
    found = {}
    for index, event in enumerate(events):
        if isinstance(event.message.body, TicketRequest):
            try:
                opening = _opening(event)
                check(opening, settings)
            except Problem as problem:
                event.message.problem = problem
            else:
                found[index] = opening
    return found


def _follow_ups(
    docket: Docket,
    refs: Refs,
    ids: dict[str, UUID],
    events: Sequence[Event[Any]],
    settings: Snapshot,
) -> dict[int, Opening]:
    """The tickets that answers to closed ones may open: fewer when several answer the same one."""
    found: dict[int, Opening] = {}
    if not settings.of(IntakeSettings).follow_up_on_closed:
        return found
    for index, event in enumerate(events):
        body = event.message.body
        if not isinstance(body, MessageRequest):
            continue
        ticket = _named(docket, refs, ids, event)
        try:
            new = ticket is not None and _place(docket, ticket).new
        except Problem:
            # It is refused when its turn comes.
            continue
        if ticket is not None and new:
            origin = _origin(event, _author(ticket, body.author))
            found[index] = answering.opening(
                ticket, body.body, origin, body.attachment_ids or (), _owner(event)
            )
    return found


def _place(docket: Docket, ticket: Ticket) -> answering.Place:
    """Where a product's words to one of its tickets go."""
    return answering.place_of(
        docket, ticket, ActorKind.PRODUCT, lambda other: other.product == ticket.product
    )


async def _addressed(uow: UnitOfWork, bodies: Sequence[Any]) -> dict[str, UUID]:
    """The ids that the messages' and resolutions' `ticket_id` mean, where there are such."""
    named = {
        body.ticket_id for body in bodies if not isinstance(body, TicketRequest) and body.ticket_id
    }
    found = {name: id for name in named if (id := parse_id(name))}
    numbers = {name: number for name in named if (number := parse_number(name))}
    if numbers:
        by_number = await tickets.ids_of_numbers(uow.connection, sorted(set(numbers.values())))
        found |= {name: by_number[of] for name, of in numbers.items() if of in by_number}
    return found


def _origin(event: Event[Any], actor: Actor | None = None) -> Origin:
    request: Request = event.message
    return Origin(
        actor or Actor(ActorKind.PRODUCT, request.product, request.product),
        Cause(kind=CAUSE_KIND_EVENT, id=request.id, type=request.type, source=request.source),
        event.trace,
    )


def _owner(event: Event[Any]) -> Owner:
    """Whose uploads the request may name: those of its product."""
    return Owner(ActorKind.PRODUCT, event.message.product)


def _opening(event: Event[Any]) -> Opening:
    body: TicketRequest = event.message.body
    given = body.submitter
    return Opening(
        product=event.message.product,
        draft=body.draft(),
        person=(
            Person(email=given.email, name=given.name or "", tier=given.tier or "")
            if given
            else None
        ),
        channel=Channel.EVENT,
        origin=_origin(event),
        owner=_owner(event),
    )


def _named(docket: Docket, refs: Refs, ids: dict[str, UUID], event: Event[Any]) -> Ticket | None:
    """The ticket of the product that a message or a resolution names."""
    ticket = docket.find(_id_of(refs, ids, event))
    return ticket if ticket is not None and ticket.product == event.message.product else None


def _id_of(refs: Refs, ids: dict[str, UUID], event: Event[Any]) -> UUID | None:
    body: Any = event.message.body
    if body.ticket_id:
        return ids.get(body.ticket_id)
    return refs.get((event.message.product, body.external_ref))


def _act(
    docket: Docket,
    refs: Refs,
    ids: dict[str, UUID],
    event: Event[Any],
    reception: Reception,
    follow_up: Opening | None,
) -> None:
    request: Request = event.message
    body: Any = request.body
    ticket = _named(docket, refs, ids, event)
    if ticket is None:
        raise unknown_ticket(body.ticket_id or f"with the external_ref {body.external_ref}")
    match body:
        case MessageRequest():
            place = _place(docket, ticket)
            if place.new:
                if follow_up is None:
                    require_open(ticket)
                else:
                    answering.follow(docket, ticket, reception, follow_up)
                return
            post_message(
                docket,
                place.ticket,
                _origin(event, _author(place.ticket, body.author)),
                kind=MessageKind.REPLY,
                body=body.body,
                channel=Channel.EVENT,
                attachment_ids=body.attachment_ids or (),
                owner=_owner(event),
            )
        case ResolutionRequest() if ticket.status not in (Status.RESOLVED, Status.CLOSED):
            change_status(
                docket, ticket, _origin(event), Status.RESOLVED, comment=body.comment or ""
            )


def _author(ticket: Ticket, given: SubmitterBody | None) -> Actor | None:
    """The person whose words they are; None for the product itself."""
    if given is None:
        return None
    person = ticket.submitter
    if person is not None and person.email == given.email:
        return person.actor()
    return Actor(ActorKind.SUBMITTER, given.email, given.name or "", given.email)


def _reject(uow: UnitOfWork, event: Event[Any], problem: Problem) -> None:
    """Say what is wrong with a request; nothing else comes of it."""
    request: Request = event.message
    uow.emit(
        events_pb2.RequestRejected(
            actor=causes.product(request.product),
            cause=_origin(event).cause,
            product=request.product,
            request_id=request.id,
            request_type=request.type,
            external_ref=request.external_ref,
            reason=problem.detail,
            errors=[
                events_pb2.FieldError(field=error["field"], message=error["message"])
                for error in problem.errors
            ],
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            rejected_at=timestamp(uow.now),
        ),
        subject=new_id(),
        aggregate_type="request",
        sequenced=False,
        trace=event.trace,
    )
