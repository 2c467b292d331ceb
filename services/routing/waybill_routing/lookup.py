"""Finds the ticket that a request speaks of, and asks intake for what routing has not heard of."""

from uuid import UUID

from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import ask_for_ticket, unknown_ticket
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Ticket
from waybill_routing.events import from_ticket
from waybill_routing.settings import Settings
from waybill_routing.store import tickets


async def find(rt: Runtime[Settings], name: str, caller: Principal, origin: Origin) -> UUID:
    """The id of the ticket with this id or number, which routing knows from then on.

    `NotFound` when there is none that the caller may see; `Unavailable` when only intake could
    tell, and is away.
    """
    id = parse_id(name)
    ticket = None if id is None else await _known(rt, id)
    if ticket is None:
        answer = await ask_for_ticket(rt.peers, name, timeout=rt.settings.intake_timeout_seconds)
        ticket = from_ticket(answer.ticket, answer.sequence)
        if await _known(rt, ticket.id) is None:
            async with rt.database.unit_of_work() as uow:
                await usecases.learn(uow, ticket, origin.by_itself("routing"))
    if not caller.can_see_product(ticket.product):
        raise unknown_ticket(name)
    return ticket.id


async def _known(rt: Runtime[Settings], id: UUID) -> Ticket | None:
    async with rt.database.reading() as connection:
        found = await tickets.read(connection, id)
    return found[0].ticket if found is not None and found[0].ticket.sequence else None
