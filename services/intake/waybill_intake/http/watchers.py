"""`/v1/tickets/{id}/watchers`: who follows a ticket without having it."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import StringConstraints, TypeAdapter, ValidationError
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import Page, require, respond
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime
from waybill_chassis.validation import RequestModel

from waybill_intake import access
from waybill_intake.bodies import Email
from waybill_intake.docket import Docket
from waybill_intake.domain import watching
from waybill_intake.domain.ticket import Ticket, Watcher
from waybill_intake.http.callers import origin, see, take
from waybill_intake.http.views import WatcherView
from waybill_intake.settings import Settings

Agent = Annotated[Principal, require("agent")]

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


class WatcherBody(RequestModel):
    """The name to show of somebody who follows a ticket."""

    name: Annotated[str, StringConstraints(max_length=200)] = ""


def router(rt: Runtime[Settings]) -> APIRouter:
    """Watchers."""
    routes = APIRouter(prefix="/v1/tickets/{id}/watchers", tags=["watchers"])

    @routes.get("", response_model=Page[WatcherView])
    async def list_watchers(id: str, caller: Agent) -> Response:
        """Who follows the ticket, in the order they came."""
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
        return respond(_shown(seen.ticket), version=seen.ticket.version)

    @routes.put("/{who}", response_model=Page[WatcherView])
    async def watch(
        id: str, who: str, request: Request, caller: Agent, body: WatcherBody | None = None
    ) -> Response:
        """Have somebody follow the ticket: an e-mail address, or `me`."""
        email = _address(who, caller)
        own = caller.name if email == caller.address else None
        watcher = Watcher(email, (body and body.name) or own or "")
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            facts = watching.watch(ticket, watcher, uow.now)
            docket.note(facts, origin(request, caller, ticket.product))
            await docket.write()
            ticket = docket.get(ticket.id)
        return respond(_shown(ticket), version=ticket.version)

    @routes.delete("/{who}", status_code=204)
    async def unwatch(id: str, who: str, request: Request, caller: Agent) -> Response:
        """Have somebody follow the ticket no more."""
        email = _address(who, caller)
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            facts = watching.unwatch(ticket, email, uow.now)
            docket.note(facts, origin(request, caller, ticket.product))
            await docket.write()
        return Response(status_code=204)

    return routes


def _address(who: str, caller: Principal) -> str:
    if who == "me":
        return access.address_of(caller)
    try:
        return _EMAIL.validate_python(who)
    except ValidationError:
        raise invalid_field("who", "must be an e-mail address, or me") from None


def _shown(ticket: Ticket) -> Page[WatcherView]:
    return Page(items=[WatcherView(email=one.email, name=one.name) for one in ticket.watchers])
