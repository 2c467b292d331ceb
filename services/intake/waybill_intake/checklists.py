"""What is done with playbooks: configured by administrators, ticked off by agents."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork
from waybill_chassis.problems import NotFound, check_version

from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.playbooks import Place, Playbook, Point, PointState, settle
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import TicketType
from waybill_intake.store import playbooks


async def playbook_of(connection: AsyncConnection, ticket: Ticket) -> Playbook:
    """What is to be done with a ticket, as it stands."""
    return (await playbooks.read(connection, [ticket.product])).of(ticket.product, ticket.type)


async def tick(
    docket: Docket, ticket: Ticket, point: str, state: PointState, reason: str, origin: Origin
) -> Playbook:
    """Settle a point of the ticket's checklist, or open it again; `NotFound` if it has no such."""
    await docket.know_playbooks()
    playbook = docket.playbook(ticket)
    if all(known.id != point for known in playbook.points):
        raise NotFound(
            f"The checklist of {ticket.number} has no point {point}.",
            points=[known.id for known in playbook.points],
        )
    docket.note(settle(ticket, point, state, reason, origin.actor, docket.now), origin)
    return playbook


async def configure(
    uow: UnitOfWork,
    product: str,
    type: TicketType,
    points: Sequence[Point],
    *,
    by: str,
    expected_version: int | None,
) -> Place:
    """Give a product (or every one) its own points for a type; nothing where it has them so."""
    held = await playbooks.lock(uow, product, type)
    check_version(expected_version, held.version)
    if held.is_configured and held.playbook.points == tuple(points):
        return held
    await playbooks.write(uow, product, type, points, at=uow.now, by=by)
    return await playbooks.place(uow.connection, product, type)


async def unconfigure(
    uow: UnitOfWork, product: str, type: TicketType, *, by: str, expected_version: int | None
) -> Place:
    """Take a product's own points away: what counts for every one counts for it again."""
    held = await playbooks.lock(uow, product, type)
    check_version(expected_version, held.version)
    if not held.is_configured:
        raise NotFound(f"Nothing is configured for {product} and {type}.")
    await playbooks.write(uow, product, type, None, at=uow.now, by=by)
    return await playbooks.place(uow.connection, product, type)
