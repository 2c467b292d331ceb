"""The owner of what routing keeps of tickets, and whether its counts agree with its tickets."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from waybill.common.v1.actor_pb2 import Cause
from waybill.common.v1.reconcile_pb2 import ReconcileReport
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill_chassis.causes import Origin, automation
from waybill_chassis.reconciling import MISSING, Finding, Owner, asking, differing, tell
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Case, State, Ticket
from waybill_routing.events import from_ticket
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

_FIELDS = ("product", "type", "priority", "status", "language", "tags", "tier", "opened_at")


def owners(rt: Runtime[Settings], cause: Cause) -> list[Owner[Ticket]]:
    """Intake for the tickets."""

    async def compare(batch: Sequence[Ticket]) -> Mapping[UUID, Sequence[Finding]]:
        async with rt.database.reading() as connection:
            held = await tickets.read_many(connection, [ticket.id for ticket in batch])
        return {ticket.id: _findings(held.get(ticket.id), ticket) for ticket in batch}

    async def repair(batch: Sequence[Ticket]) -> None:
        """Take intake's word, as its event would have brought it."""
        async with rt.database.unit_of_work() as uow:
            await usecases.correct(uow, batch, Origin(automation("routing"), cause))

    ask = asking(
        rt.peers.intake,
        "StreamTickets",
        StreamTicketsRequest,
        lambda answer: from_ticket(answer.ticket, answer.sequence),
    )
    return [Owner("intake", ask, lambda ticket: ticket.id, compare, repair)]


def _findings(held: Case | None, owned: Ticket) -> list[Finding]:
    if held is None:
        return MISSING
    if held.ticket.sequence > owned.sequence:
        return []
    found = differing(_values(held.ticket), _values(owned))
    if owned.open and held.assignment.state is State.UNPLACED:
        found.append(Finding("assignment", State.UNPLACED, "placed"))
    return found


def _values(ticket: Ticket) -> dict[str, object]:
    return {field: getattr(ticket, field) for field in _FIELDS}


async def recount(rt: Runtime[Settings], report: ReconcileReport, *, repair: bool) -> None:
    """Compare how many tickets each agent is said to have with those they have."""
    async with rt.database.unit_of_work() as uow:
        wrong = await usecases.recount(uow, repair=repair)
    for agent, held, load in wrong:
        found = differing(
            {"open_tickets": agent.open_tickets, "load": agent.load},
            {"open_tickets": held, "load": load},
        )
        tell(report, "routing", agent.id, found, repaired=repair)
