"""What intake does: decisions of the domain on tickets in hand, noted in a docket."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.lookup import parse_number, unknown_ticket
from waybill_chassis.problems import check_version
from waybill_chassis.stored_settings import Snapshot

from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import merging, rules
from waybill_intake.domain.attachments import Owner
from waybill_intake.domain.moves import move
from waybill_intake.domain.playbooks import require_settled
from waybill_intake.domain.ticket import Draft, Link, Message, Posted, Submitter, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    LinkKind,
    MessageKind,
    Status,
)
from waybill_intake.kept_settings import check_custom_fields, default_priority
from waybill_intake.store import merges, tickets


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
    owner: Owner | None = None
    """Whose uploads may come with it."""

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
    if number := parse_number(id_or_number):
        known = await tickets.ids_of_numbers(connection, [number])
        if number in known:
            return known[number]
    raise unknown_ticket(id_or_number)


class Reception:
    """Where tickets are opened: everything that a batch of openings needs, found out at once."""

    def __init__(
        self,
        docket: Docket,
        refs: Refs,
        people: Mapping[str, Submitter],
        numbers: Iterator[str],
        settings: Snapshot,
    ) -> None:
        self._docket = docket
        self._refs = refs
        self._people = people
        self._numbers = numbers
        self._settings = settings

    @classmethod
    async def prepare(
        cls,
        docket: Docket,
        openings: Sequence[Opening],
        refs: Refs,
    ) -> "Reception":
        """Know the people and take the numbers.

        The caller has locked `refs` and their tickets, and let `check` see the openings.
        """
        names: dict[str, str] = {}
        for opening in openings:
            if person := opening.person:
                names[person.email] = person.name or names.get(person.email, "")
        count = _how_many_new(docket, openings, refs)
        people, numbers = await tickets.arrive(docket.uow, names, count)
        return cls(docket, refs, people, iter(numbers), await docket.uow.settings())

    def open(self, opening: Opening) -> Ticket:
        """Take a ticket in.

        A reference that an open ticket has, or one that was merged into it, counts that one up and
        reopens it if it was resolved; after a closed one the new ticket follows it. The `refs` are
        kept up to date.
        """
        docket, ref = self._docket, opening.ref
        before = _meant(docket, self._refs, ref) if ref else None
        if before is not None and before.is_open:
            docket.note(rules.repeat(before, docket.now), opening.origin)
            return docket.get(before.id)
        person = opening.person
        # First of all: one that is refused must not take the number that is meant for the next.
        files = docket.files.claim(opening.draft.attachment_ids, opening.owner)
        opened = rules.open_ticket(
            opening.draft,
            id=new_id(),
            number=next(self._numbers),
            product=opening.product,
            channel=opening.channel,
            submitter=replace(self._people[person.email], tier=person.tier) if person else None,
            by=opening.origin.actor.kind,
            default_priority=default_priority(
                self._settings, opening.product, opening.draft.type, person.tier if person else ""
            ),
            at=docket.now,
        )
        docket.note([opened], opening.origin)
        docket.note(rules.attach(opened.ticket, files, docket.now), opening.origin)
        if ref:
            self._refs[ref] = opened.ticket.id
        if before is not None:
            links = rules.link(docket.get(opened.ticket.id), before, LinkKind.FOLLOW_UP, docket.now)
            docket.note(links, opening.origin)
        return docket.get(opened.ticket.id)


def _meant(docket: Docket, refs: Refs, ref: tuple[str, str]) -> Ticket | None:
    """The ticket that a reference means, or the one of the product that it was merged into."""
    if (found := docket.find(refs.get(ref))) is None:
        return None
    survivor = docket.survivor(found)
    return survivor if survivor.product == found.product else found


def _how_many_new(docket: Docket, openings: Sequence[Opening], refs: Refs) -> int:
    """How many of the openings will become tickets: within a batch nothing is closed."""
    wanted = [opening.ref for opening in openings]
    new_refs = {
        ref
        for ref in wanted
        if ref and not ((before := _meant(docket, refs, ref)) and before.is_open)
    }
    return wanted.count(None) + len(new_refs)


def check(opening: Opening, settings: Snapshot) -> None:
    """Raise `Invalid` for what the product does not take."""
    check_custom_fields(settings, opening.product, opening.draft.custom_fields)


async def open_ticket(docket: Docket, opening: Opening) -> tuple[Ticket, bool]:
    """Take one ticket in; False with one that was there already."""
    check(opening, await docket.uow.settings())
    refs: Refs = {}
    if opening.ref:
        refs = await tickets.lock_refs(docket.uow, [opening.ref])
        await docket.take(refs.values(), survivors=True)
    await docket.take_files(opening.draft.attachment_ids)
    ticket = (await Reception.prepare(docket, [opening], refs)).open(opening)
    return ticket, ticket.occurrences == 1


async def open_new(docket: Docket, openings: Sequence[Opening]) -> list[Ticket]:
    """Take in tickets that `check` has nothing against, without references and uploads."""
    reception = await Reception.prepare(docket, openings, {})
    return [reception.open(opening) for opening in openings]


def post_message(
    docket: Docket,
    ticket: Ticket,
    origin: Origin,
    *,
    kind: MessageKind,
    body: str,
    channel: Channel = Channel.API,
    quick_reply_id: str = "",
    mentions: tuple[str, ...] = (),
    attachment_ids: tuple[UUID, ...] = (),
    owner: Owner | None = None,
) -> Message:
    """Add a message to the conversation, with uploads of `owner` if there are any."""
    facts = rules.post(
        ticket,
        id=new_id(),
        kind=kind,
        author=origin.actor,
        body=body,
        at=docket.now,
        channel=channel,
        quick_reply_id=quick_reply_id,
        mentions=mentions,
        attachment_ids=attachment_ids,
    )
    files = docket.files.claim(attachment_ids, owner)
    docket.note(facts, origin)
    assert isinstance(facts[0], Posted)
    message = facts[0].message
    docket.note(rules.attach(docket.get(ticket.id), files, docket.now, message), origin)
    return message


def change_status(
    docket: Docket,
    ticket: Ticket,
    origin: Origin,
    to: Status,
    *,
    reason: CloseReason | None = None,
    comment: str = "",
) -> None:
    """Move the ticket by hand; what an agent asks the user with it is said in the conversation.

    An agent resolves it only once the required points of its checklist are settled; for that
    `docket.know_playbooks` comes first.
    """
    moved = move(ticket, to, origin.actor.kind, docket.now, reason=reason, comment=comment)
    if to is Status.RESOLVED and origin.actor.kind is ActorKind.AGENT:
        require_settled(docket.playbook(ticket), ticket)
    if to is Status.AWAITING_USER and comment:
        # Whom nobody tells the question cannot answer it.
        post_message(docket, ticket, origin, kind=MessageKind.REPLY, body=comment)
        moved = move(docket.get(ticket.id), to, origin.actor.kind, docket.now)
    docket.note([moved], origin)


async def edit(docket: Docket, ticket: Ticket, origin: Origin, fields: Mapping[str, Any]) -> None:
    """Set fields by hand. Custom fields that are written must fit the product they go to."""
    if "custom_fields" in fields:
        product = fields.get("product", ticket.product)
        check_custom_fields(await docket.uow.settings(), product, fields["custom_fields"])
    docket.note(rules.edit(ticket, fields, docket.now, person=True), origin)


def merge(docket: Docket, source: Ticket, target: Ticket, origin: Origin) -> None:
    """Close `source` as a duplicate of `target`."""
    docket.note(merging.merge(source, target, docket.now, id=new_id()), origin)


async def undo_merge(
    docket: Docket,
    source: Ticket,
    within: timedelta,
    origin: Origin,
    expected_version: int | None,
) -> None:
    """Make two tickets again of `source` and the one it was merged into; none is in hand yet."""
    refs: Refs = {}
    if source.external_ref:
        refs = await tickets.lock_refs(docket.uow, [(source.product, source.external_ref)])
    await docket.take([source.id, *refs.values()], survivors=True)
    source = docket.get(source.id)
    check_version(expected_version, source.version)
    for holder in map(docket.get, refs.values()):
        if holder.is_open and holder.id != source.id:
            raise merging.CannotUndo(
                f"{holder.number} is open for its external_ref meanwhile: close that first."
            )
    record = await merges.standing(docket.uow, source.id)
    target = docket.get(source.merged_into or source.id)
    docket.note(merging.undo(record, source, target, docket.now, within), origin)


def unlink(docket: Docket, ticket: Ticket, other: Ticket, origin: Origin) -> None:
    """Take every link between two tickets away."""
    docket.note(rules.unlink(ticket, other, docket.now), origin)


def link(
    docket: Docket, ticket: Ticket, other: Ticket, kind: LinkKind, origin: Origin
) -> Link | None:
    """Link two tickets; None when they were linked so already."""
    facts = rules.link(ticket, other, kind, docket.now)
    docket.note(facts, origin)
    return facts[0].link if facts else None
