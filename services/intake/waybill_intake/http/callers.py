"""From a request to the tickets it is about and the one who asks."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis import problems
from waybill_chassis.auth import Principal
from waybill_chassis.causes import request_cause
from waybill_chassis.http import respond
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.stored_settings import Snapshot

from waybill_intake import access
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.facts import Facts
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import ActorKind
from waybill_intake.http.views import view
from waybill_intake.store import attachments, facts, lists
from waybill_intake.usecases import id_of

STAFF = (ActorKind.AGENT, ActorKind.PRODUCT)


def origin(request: Request, caller: Principal, product: str) -> Origin:
    """The caller and this request, as what leads to a fact."""
    template = request.scope["route"].path
    return Origin(access.actor_of(caller, product), request_cause(f"{request.method} {template}"))


async def take(docket: Docket, caller: Principal, *ids_or_numbers: str) -> list[Ticket]:
    """The tickets named, locked; `NotFound` for one that the caller may not see."""
    ids: list[UUID] = [await id_of(docket.uow.connection, name) for name in ids_or_numbers]
    await docket.take(ids)
    found = []
    for id, name in zip(ids, ids_or_numbers, strict=True):
        ticket = docket.find(id)
        if ticket is None or not access.can_see(caller, ticket):
            raise unknown_ticket(name)
        found.append(ticket)
    return found


async def see(connection: AsyncConnection, caller: Principal, id_or_number: str) -> lists.Seen:
    """The ticket named; `NotFound` if the caller may not see it."""
    seen = await lists.see(connection, await id_of(connection, id_or_number))
    if seen is None or not access.can_see(caller, seen.ticket):
        raise unknown_ticket(id_or_number)
    return replace(seen, files=await attachments.of_ticket(connection, seen.ticket))


def require_kind(caller: Principal, kinds: Iterable[ActorKind], what: str) -> None:
    """Raise `Forbidden` unless the caller acts as one of `kinds`."""
    if access.standing(caller) not in kinds:
        raise problems.Forbidden(what)


async def shown(
    docket: Docket, caller: Principal, id: UUID, *, status: int = 200, created: bool = False
) -> Response:
    """Write the docket and answer with a ticket of it, as the caller may see it."""
    await docket.write()
    ticket = docket.get(id)
    # Nobody else can have said anything yet of a ticket that is just being opened.
    known = {} if ticket.version == 1 else await facts.read(docket.uow.connection, [id])
    files = await attachments.of_ticket(docket.uow.connection, ticket)
    seen = lists.Seen(ticket, known.get(id, Facts()), files)
    return respond(
        view(seen, await docket.uow.settings(), access.standing(caller)),
        status=status,
        version=ticket.version,
        location=f"/v1/tickets/{id}" if created else None,
    )


def created(ticket: Ticket, settings: Snapshot, caller: Principal) -> Response:
    """The answer to whoever opened a ticket without uploads, of which nobody has said anything."""
    return respond(
        view(lists.Seen(ticket, Facts(), ()), settings, access.standing(caller)),
        status=201,
        version=ticket.version,
        location=f"/v1/tickets/{ticket.id}",
    )
