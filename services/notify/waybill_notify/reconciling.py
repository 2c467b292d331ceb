"""The owners of what notify keeps of others: how to ask, compare and repair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from waybill.common.v1.ticket_enums_pb2 import Status
from waybill.intake.v1.service_pb2 import StreamTicketsRequest, StreamTicketsResponse
from waybill.intake.v1.ticket_pb2 import Ticket
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest, StreamAssignmentsResponse
from waybill_chassis.events import ticket_id
from waybill_chassis.reconciling import MISSING, Finding, Owner, asking, differing
from waybill_chassis.service import Runtime
from waybill_chassis.words import word

from waybill_notify import store
from waybill_notify.consumers import with_assignment, with_ticket
from waybill_notify.events import parse_ticket
from waybill_notify.settings import Settings
from waybill_notify.store import Picture


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner says of a ticket, and how a picture takes it over."""

    ticket_id: UUID
    sequence: int
    values: Mapping[str, Any]
    held_sequence: Callable[[Picture], int]
    held: Callable[[Picture], Mapping[str, Any]]
    taken_over: Callable[[Picture], Picture]
    unsubscribed: bool = False


def owners(rt: Runtime[Settings]) -> list[Owner[Owned]]:
    """Intake for the tickets, routing for who has them."""

    async def compare(batch: Sequence[Owned]) -> Mapping[UUID, Sequence[Finding]]:
        async with rt.database.reading() as connection:
            pictures = await store.read_pictures(connection, [owned.ticket_id for owned in batch])
        return {owned.ticket_id: _findings(pictures.get(owned.ticket_id), owned) for owned in batch}

    async def repair(batch: Sequence[Owned]) -> None:
        """Take the owner's word; nobody is written to for it."""
        by_id = {owned.ticket_id: owned for owned in batch}
        async with rt.database.unit_of_work() as uow:
            pictures = await store.lock_pictures(uow, by_id)
            await store.save_pictures(
                uow,
                [
                    by_id[id].taken_over(picture)
                    for id, picture in pictures.items()
                    # An event may have come first after all.
                    if by_id[id].held_sequence(picture) <= by_id[id].sequence
                ],
            )
            await store.suppress_deliveries(
                uow, [owned.ticket_id for owned in batch if owned.unsubscribed]
            )

    tickets = asking(rt.peers.intake, "StreamTickets", StreamTicketsRequest, _ticket)
    assignments = asking(
        rt.peers.routing, "StreamAssignments", StreamAssignmentsRequest, _assignment
    )
    return [
        Owner(name, ask, lambda owned: owned.ticket_id, compare, repair)
        for name, ask in (("intake", tickets), ("routing", assignments))
    ]


def _ticket(answer: StreamTicketsResponse) -> Owned:
    ticket = answer.ticket
    return Owned(
        ticket_id(ticket.id),
        answer.sequence,
        _values(ticket),
        held_sequence=lambda picture: picture.sequence,
        held=lambda picture: _values(parse_ticket(picture.ticket)),
        taken_over=lambda picture: with_ticket(picture, ticket, answer.sequence),
        unsubscribed=ticket.HasField("unsubscribed_at"),
    )


def _values(ticket: Ticket) -> Mapping[str, Any]:
    return {
        "product": ticket.product,
        "number": ticket.number,
        "status": word(Status, ticket.status),
        "version": ticket.version,
    }


def _assignment(answer: StreamAssignmentsResponse) -> Owned:
    assignment = answer.assignment
    return Owned(
        ticket_id(assignment.ticket_id),
        answer.sequence,
        {"assignee": assignment.agent.name, "team": assignment.team},
        held_sequence=lambda picture: picture.assignment_sequence,
        held=lambda picture: {"assignee": picture.assignee_name, "team": picture.team},
        taken_over=lambda picture: with_assignment(picture, assignment, answer.sequence),
    )


def _findings(held: Picture | None, owned: Owned) -> list[Finding]:
    sequence = owned.held_sequence(held) if held is not None else 0
    if held is None or sequence == 0:
        return MISSING
    return [] if sequence > owned.sequence else differing(owned.held(held), owned.values)
