"""Finds the ticket that a request speaks of, and asks intake for what routing has not heard of."""

import re
from uuid import UUID

from waybill.intake.v1.service_pb2 import GetTicketRequest
from waybill_chassis import problems
from waybill_chassis.auth import Principal
from waybill_chassis.ids import parse_id
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Ticket, UnknownTicket
from waybill_routing.events import Origin, from_ticket
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

_NUMBER = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}-\d{1,18}")


async def find(rt: Runtime[Settings], name: str, caller: Principal, origin: Origin) -> UUID:
    """The id of the ticket with this id or number, which routing knows from then on.

    `UnknownTicket` when there is none that the caller may see; `Unavailable` when only intake
    could tell, and is away.
    """
    id = parse_id(name)
    ticket = None if id is None else await _known(rt, id)
    if ticket is None:
        if id is None and not _NUMBER.fullmatch(name):
            raise UnknownTicket(name)
        ticket = await _asked(rt, name)
        if await _known(rt, ticket.id) is None:
            async with rt.database.unit_of_work() as uow:
                await usecases.learn(uow, ticket, origin.by_itself())
    if not caller.can_see_product(ticket.product):
        raise UnknownTicket(name)
    return ticket.id


async def _known(rt: Runtime[Settings], id: UUID) -> Ticket | None:
    async with rt.database.reading() as connection:
        found = await tickets.read(connection, id)
    return found[0].ticket if found is not None and found[0].ticket.sequence else None


async def _asked(rt: Runtime[Settings], name: str) -> Ticket:
    intake = rt.peers.intake
    try:
        answer = await intake.ask(
            intake.stub.GetTicket,
            GetTicketRequest(id_or_number=name),
            timeout=rt.settings.intake_seconds,
        )
    except problems.NotFound:
        raise UnknownTicket(name) from None
    return from_ticket(answer.ticket, answer.sequence)
