"""`POST /v1/tickets`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response
from waybill_chassis.auth import ALL_PRODUCTS, Principal, authorize
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    RunOnce,
    Sharing,
)
from waybill_chassis.problems import (
    Invalid,
    invalid_field,
)
from waybill_chassis.service import Runtime
from waybill_chassis.telemetry import current_trace

from waybill_intake import access, bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
)
from waybill_intake.http.callers import created, origin, shown
from waybill_intake.http.views import TicketView
from waybill_intake.settings import Settings


def _product(body: bodies.NewTicket, caller: Principal, settings: Settings) -> str:
    """The product a new ticket belongs to: as named, else the only one of the token."""
    product = body.product
    if product is None and len(caller.products) == 1 and ALL_PRODUCTS not in caller.products:
        (product,) = caller.products
    product = product or settings.default_product or ("demo" if settings.demo else "")
    if not product:
        raise invalid_field("product", "is required: your token does not name a single one")
    authorize(caller, product=product)
    return product


def _person(body: bodies.NewTicket, caller: Principal) -> usecases.Person | None:
    """The person a new ticket is for; a submitter's is for themselves."""
    given = body.submitter
    if access.standing(caller) is not ActorKind.SUBMITTER:
        if given is None:
            return None
        return usecases.Person(email=given.email, name=given.name or "", tier=given.tier or "")
    address = access.address_of(caller)
    if given and (given.email != address or given.tier):
        raise invalid_field("submitter", "is filled in from your token: leave it out")
    if body.external_ref:
        raise invalid_field("external_ref", "is for products and agents: leave it out")
    return usecases.Person(email=address, name=(given and given.name) or caller.name or "")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A ticket that is asked for, and for whose eyes the answer is."""

    opening: usecases.Opening
    caller: Principal


async def _fits(uow: UnitOfWork, asked: _Asked) -> bool:
    try:
        usecases.check(asked.opening, await uow.settings())
    except Invalid:
        return False
    return True


async def _open_all(uow: UnitOfWork, asked: Sequence[_Asked]) -> list[Response]:
    docket = Docket(uow)
    tickets = await usecases.open_new(docket, [one.opening for one in asked])
    await docket.write()
    settings = await uow.settings()
    return [
        created(docket.get(ticket.id), settings, one.caller)
        for ticket, one in zip(tickets, asked, strict=True)
    ]


def router(rt: Runtime[Settings]) -> APIRouter:
    """Taking a ticket in."""
    routes = APIRouter(tags=["tickets"])
    sharing = Sharing(rt.database, _open_all, _fits)

    @routes.post(
        "/v1/tickets",
        status_code=201,
        response_model=TicketView,
        responses={
            200: {"model": TicketView, "description": "The ticket that has this `external_ref`."}
        },
    )
    async def open_ticket(
        body: bodies.NewTicket, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Open a ticket. 200 with the one that is open already for the same `external_ref`."""
        person = _person(body, caller)
        product = _product(body, caller, rt.settings)
        opening = usecases.Opening(
            product=product,
            draft=body.draft(),
            person=person,
            channel=Channel.API,
            origin=replace(origin(request, caller, product), trace=current_trace()),
            owner=access.owner_of(caller, product) if body.attachment_ids else None,
        )

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            ticket, new = await usecases.open_ticket(docket, opening)
            return await shown(docket, caller, ticket.id, status=201 if new else 200, created=True)

        # What must be locked for itself may have to wait, and nobody should wait with it.
        plain = not opening.ref and not body.attachment_ids
        share = partial(sharing, _Asked(opening, caller)) if plain else None
        return await once(effect, share=share)

    return routes
