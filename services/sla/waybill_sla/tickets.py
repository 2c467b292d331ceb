"""How a ticket is found by what the caller calls it."""

from uuid import UUID

from waybill.intake.v1.service_pb2 import GetTicketRequest
from waybill_chassis.causes import automation, request_cause
from waybill_chassis.database import Database
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import NotFound
from waybill_chassis.rpc import Peers

from waybill_sla import events, store, usecases
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Rules

ASK_SECONDS = 2.0


def no_such_ticket() -> NotFound:
    """What is said of a ticket that does not exist, and of one that is not the caller's."""
    return NotFound("There is no such ticket.")


async def find(database: Database, peers: Peers, rules: Rules, name: str) -> Clock:
    """The clock of the ticket with this id or number; intake is asked about one not known here.

    `NotFound` when there is none, `Unavailable` when intake would have to say and is away.
    """
    id = parse_id(name)
    if id is None and not name.startswith("WB-"):
        raise no_such_ticket()
    if (clock := await _known(database, name, id)) is not None:
        return clock
    answer = await peers.intake.ask(
        peers.intake.stub.GetTicket, GetTicketRequest(id_or_number=name), timeout=ASK_SECONDS
    )
    ticket = events.from_ticket(answer.ticket, answer.sequence)
    # Its event may still be on the way; heard twice, it counts once.
    news = usecases.News(
        ticket.id,
        ticket,
        ticket.status_since,
        automation("sla"),
        request_cause("waybill.intake.v1.TicketService/GetTicket"),
    )
    async with database.unit_of_work() as uow:
        return (await usecases.hear(uow, [news], rules))[ticket.id]


async def _known(database: Database, name: str, id: UUID | None) -> Clock | None:
    async with database.reading() as connection:
        if id is None:
            id = await store.id_of_number(connection, name)
        if id is None:
            return None
        clock = (await store.clocks(connection, [id])).get(id)
    return clock if clock is not None and clock.ticket is not None else None
