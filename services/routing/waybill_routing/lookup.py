"""Finds the ticket that a request speaks of, and asks intake for what routing has not heard of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill.sla.v1.service_pb2 import GetRemainingRequest
from waybill_chassis.auth import Principal
from waybill_chassis.causes import Origin
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import ask_for_ticket, unknown_ticket
from waybill_chassis.problems import Unavailable
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Ticket
from waybill_routing.events import dues_of, from_ticket
from waybill_routing.settings import Settings
from waybill_routing.store import dues, tickets

_TEXTS_SECONDS = 5.0
_DUES_AGE = timedelta(minutes=1)
_DUES_AT_ONCE = 1000

log = structlog.get_logger(__name__)


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


async def with_texts(rt: Runtime[Settings], tickets: Sequence[Ticket]) -> list[Ticket]:
    """The same with their text as intake has it now; without it when intake is away."""
    request = StreamTicketsRequest(ticket_ids=[str(ticket.id) for ticket in tickets])
    texts: dict[UUID, str] = {}
    if tickets:
        peer = rt.peers.intake
        try:
            answers = peer.stream(peer.stub.StreamTickets, request, timeout=_TEXTS_SECONDS)
            async for answer in answers:
                found = from_ticket(answer.ticket, answer.sequence)
                texts[found.id] = found.text
        except Unavailable:
            log.info("texts_not_known", tickets=len(tickets))
    return [replace(ticket, text=texts.get(ticket.id, "")) for ticket in tickets]


async def ask_for_dues(rt: Runtime[Settings]) -> int:
    """Ask sla how much time the tickets have that wait where it matters, and keep the answer.

    One question for a thousand of them, each asked about once a minute. With sla away what it said
    last counts on. How many were asked about.
    """
    async with rt.database.reading() as connection:
        ids = await dues.stale(connection, rt.clock.now(), _DUES_AGE, _DUES_AT_ONCE)
    if not ids:
        return 0
    request = GetRemainingRequest(ticket_ids=[str(id) for id in ids])
    try:
        answer = await rt.peers.sla.ask(
            rt.peers.sla.stub.GetRemaining, request, timeout=rt.settings.sla_timeout_seconds
        )
    except Unavailable:
        log.info("dues_not_known", tickets=len(ids))
        return 0
    async with rt.database.unit_of_work() as uow:
        await dues.write(uow, ids, dues_of(answer))
    return len(ids)


async def _known(rt: Runtime[Settings], id: UUID) -> Ticket | None:
    async with rt.database.reading() as connection:
        found = await tickets.read(connection, id)
    return found[0].ticket if found is not None and found[0].ticket.sequence else None
