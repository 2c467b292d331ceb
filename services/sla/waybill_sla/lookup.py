"""Finds the ticket that a request speaks of, and asks intake for what sla has not heard of."""

from uuid import UUID

from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin, automation, request_cause
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import ask_for_ticket, parse_number, unknown_ticket
from waybill_chassis.service import Runtime

from waybill_sla import events, store, usecases
from waybill_sla.domain.clock import Clock
from waybill_sla.settings import Settings


async def find(rt: Runtime[Settings], name: str, caller: Principal) -> Clock:
    """The clock of the ticket with this id or number, which sla knows from then on.

    `NotFound` when there is none that the caller may see; `Unavailable` when only intake could
    tell, and is away.
    """
    clock = await _known(rt, name) or await _asked(rt, name)
    ticket = clock.ticket
    if ticket is None or not caller.can_see_ticket(ticket.product, ticket.submitter_email):
        raise unknown_ticket(name)
    return clock


async def _known(rt: Runtime[Settings], name: str) -> Clock | None:
    id: UUID | None = parse_id(name)
    async with rt.database.snapshot() as connection:
        if id is None and (number := parse_number(name)):
            id = await store.id_of_number(connection, number)
        clock = None if id is None else (await store.clocks(connection, [id])).get(id)
    return clock if clock is not None and clock.ticket is not None else None


async def _asked(rt: Runtime[Settings], name: str) -> Clock:
    answer = await ask_for_ticket(rt.peers, name, timeout=rt.settings.intake_timeout_seconds)
    ticket = events.from_ticket(answer.ticket, answer.sequence)
    origin = Origin(automation("sla"), request_cause("waybill.intake.v1.TicketService/GetTicket"))
    # Its event may still be on the way; heard twice, it counts once.
    news = usecases.News(ticket.id, ticket, ticket.status_since, origin)
    async with rt.database.unit_of_work() as uow:
        return (await usecases.hear(uow, [news]))[ticket.id]
