"""The owners of what sla keeps of others: how to ask, compare and repair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from waybill.common.v1.actor_pb2 import Cause
from waybill.intake.v1.service_pb2 import StreamTicketsRequest, StreamTicketsResponse
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest, StreamAssignmentsResponse
from waybill_chassis.causes import Origin, automation
from waybill_chassis.events import ticket_id
from waybill_chassis.reconciling import MISSING, Finding, Owner, asking, differing
from waybill_chassis.service import Runtime

from waybill_sla import events, store, usecases
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.ticket import Ticket, Wait
from waybill_sla.settings import Settings

_TICKET_FIELDS = (
    "product",
    "type",
    "priority",
    "status",
    "status_since",
    "episode",
    "first_response_at",
    "resolved_at",
    "reopenings",
    "submitter_id",
    "submitter_email",
    "tier",
    "tags",
)

_WAIT_FIELDS = ("unassigned_since", "team", "agent")


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner says of a ticket."""

    ticket_id: UUID
    fact: Ticket | Wait


def owners(rt: Runtime[Settings], cause: Cause) -> list[Owner[Owned]]:
    """Intake for the tickets, routing for who has them."""

    async def compare(batch: Sequence[Owned]) -> Mapping[UUID, Sequence[Finding]]:
        async with rt.database.reading() as connection:
            clocks = await store.clocks(connection, [owned.ticket_id for owned in batch])
        return {
            owned.ticket_id: _findings(clocks.get(owned.ticket_id), owned.fact) for owned in batch
        }

    async def repair(batch: Sequence[Owned]) -> None:
        """Take the owner's word, as its event would have brought it."""
        origin = Origin(automation("sla"), cause)
        async with rt.database.unit_of_work() as uow:
            news = [
                usecases.News(
                    owned.ticket_id,
                    owned.fact,
                    owned.fact.status_since if isinstance(owned.fact, Ticket) else uow.now,
                    origin,
                    again=True,
                )
                for owned in batch
            ]
            await usecases.hear(uow, news)

    tickets = asking(rt.peers.intake, "StreamTickets", StreamTicketsRequest, _ticket)
    assignments = asking(
        rt.peers.routing, "StreamAssignments", StreamAssignmentsRequest, _assignment
    )
    return [
        Owner(name, ask, lambda owned: owned.ticket_id, compare, repair)
        for name, ask in (("intake", tickets), ("routing", assignments))
    ]


def _ticket(answer: StreamTicketsResponse) -> Owned:
    ticket = events.from_ticket(answer.ticket, answer.sequence)
    return Owned(ticket.id, ticket)


def _assignment(answer: StreamAssignmentsResponse) -> Owned:
    wait = events.from_assignment(answer.assignment, answer.sequence)
    return Owned(ticket_id(answer.assignment.ticket_id), wait)


def _findings(clock: Clock | None, fact: Ticket | Wait) -> list[Finding]:
    held: Ticket | Wait | None = None
    if clock is not None:
        held = clock.wait if isinstance(fact, Wait) else clock.ticket
    if held is None:
        return MISSING
    return [] if held.sequence > fact.sequence else differing(_values(held), _values(fact))


def _values(fact: Ticket | Wait) -> dict[str, Any]:
    fields = _WAIT_FIELDS if isinstance(fact, Wait) else _TICKET_FIELDS
    return {field: getattr(fact, field) for field in fields}
