"""What intake does: decisions of the domain on tickets in hand, noted in a docket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.ids import new_id, parse_id

from waybill_intake.docket import Docket, Origin, unknown
from waybill_intake.domain import rules
from waybill_intake.domain.moves import move
from waybill_intake.domain.ticket import Draft, Link, Message, Posted, Submitter, Ticket
from waybill_intake.domain.words import (
    Channel,
    CloseReason,
    LinkKind,
    MessageKind,
    Priority,
    Status,
)
from waybill_intake.store import tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A submitter as named by whoever opens a ticket for them."""

    email: str
    name: str = ""
    tier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A ticket that somebody asks for."""

    product: str
    draft: Draft
    person: Person | None
    channel: Channel
    origin: Origin

    @property
    def ref(self) -> tuple[str, str] | None:
        """The thing it is about, as the product numbers it."""
        return (self.product, self.draft.external_ref) if self.draft.external_ref else None


Refs = dict[tuple[str, str], UUID]
"""Which ticket a product's reference means: the open one, else the newest closed one."""


async def id_of(connection: AsyncConnection, id_or_number: str) -> UUID:
    """The id of the ticket that an id or a number (`WB-1042`) names."""
    if found := parse_id(id_or_number):
        return found
    number = id_or_number.upper()
    if id := (await tickets.ids_of_numbers(connection, [number])).get(number):
        return id
    raise unknown(id_or_number)


async def open_tickets(
    docket: Docket, openings: Sequence[Opening], refs: Refs, default_priority: Priority
) -> list[Ticket]:
    """Take tickets in; the caller has locked `refs` and taken their tickets.

    A reference that an open ticket has counts that one up (and reopens it, if it was resolved);
    after a closed one the new ticket follows it. `refs` is kept up to date.
    """
    people: dict[str, str] = {}
    for opening in openings:
        if person := opening.person:
            people[person.email] = person.name or people.get(person.email, "")
    known = await tickets.know_submitters(docket.uow, people)
    numbers = iter(await tickets.take_numbers(docket.uow, _how_many_new(docket, openings, refs)))
    found = []
    for opening in openings:
        before = docket.find(refs.get(opening.ref)) if opening.ref else None
        if before is not None and before.is_open:
            docket.note(rules.repeat(before, docket.now), opening.origin)
            found.append(docket.get(before.id))
            continue
        opened = rules.open_ticket(
            opening.draft,
            id=new_id(),
            number=next(numbers),
            product=opening.product,
            channel=opening.channel,
            submitter=_submitter(opening.person, known),
            by=opening.origin.actor.kind,
            default_priority=default_priority,
            at=docket.now,
        )
        docket.note([opened], opening.origin)
        id = opened.ticket.id
        if opening.ref:
            refs[opening.ref] = id
        if before is not None:
            links = rules.link(opened.ticket, before, LinkKind.FOLLOWS, docket.now)
            docket.note(links, opening.origin)
        found.append(docket.get(id))
    return found


def _how_many_new(docket: Docket, openings: Sequence[Opening], refs: Refs) -> int:
    """How many of the openings will become tickets: within a batch nothing is closed."""
    wanted = [opening.ref for opening in openings]
    new_refs = {
        ref
        for ref in wanted
        if ref and not ((before := docket.find(refs.get(ref))) and before.is_open)
    }
    return wanted.count(None) + len(new_refs)


def _submitter(person: Person | None, known: Mapping[str, Submitter]) -> Submitter | None:
    return replace(known[person.email], tier=person.tier) if person else None


async def open_ticket(
    docket: Docket, opening: Opening, default_priority: Priority
) -> tuple[Ticket, bool]:
    """Take one ticket in; False with one that was there already."""
    refs: Refs = {}
    if opening.ref:
        refs = await tickets.lock_refs(docket.uow, [opening.ref])
        await docket.take(refs.values())
    (ticket,) = await open_tickets(docket, [opening], refs, default_priority)
    return ticket, ticket.occurrences == 1


def post_message(
    docket: Docket,
    ticket: Ticket,
    origin: Origin,
    *,
    kind: MessageKind,
    body: str,
    channel: Channel = Channel.API,
    quick_reply_id: str = "",
) -> Message:
    """Add a message to the conversation."""
    facts = rules.post(
        ticket,
        id=new_id(),
        kind=kind,
        author=origin.actor,
        body=body,
        at=docket.now,
        channel=channel,
        quick_reply_id=quick_reply_id,
    )
    docket.note(facts, origin)
    assert isinstance(facts[0], Posted)
    return facts[0].message


def change_status(
    docket: Docket,
    ticket: Ticket,
    origin: Origin,
    to: Status,
    *,
    reason: CloseReason | None = None,
    comment: str = "",
) -> None:
    """Move the ticket by hand."""
    moved = move(ticket, to, origin.actor.kind, docket.now, reason=reason, comment=comment)
    docket.note([moved], origin)


def edit(docket: Docket, ticket: Ticket, origin: Origin, fields: Mapping[str, Any]) -> None:
    """Set fields by hand."""
    docket.note(rules.edit(ticket, fields, docket.now, person=True), origin)


def merge(docket: Docket, source: Ticket, target: Ticket, origin: Origin) -> None:
    """Close `source` as a duplicate of `target`."""
    docket.note(rules.merge(source, target, docket.now), origin)


def link(
    docket: Docket, ticket: Ticket, other: Ticket, kind: LinkKind, origin: Origin
) -> Link | None:
    """Link two tickets; None when they were linked so already."""
    facts = rules.link(ticket, other, kind, docket.now)
    docket.note(facts, origin)
    return facts[0].link if facts else None
