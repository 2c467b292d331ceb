"""`/v1/tickets/{id}` and its log."""

from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response
from waybill_chassis.auth import authorize
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Limit,
    Page,
    RequiredVersion,
    require,
    respond,
)
from waybill_chassis.problems import (
    Conflict,
    check_version,
)
from waybill_chassis.service import Runtime

from waybill_intake import bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain.words import (
    ActorKind,
)
from waybill_intake.http.callers import STAFF, origin, require_kind, see, shown, take
from waybill_intake.http.views import LogView, TicketView, log_view, view
from waybill_intake.settings import Settings
from waybill_intake.store import log

_LOG = Cursor[tuple[datetime, int]]("log", tuple[datetime, int])


def router(rt: Runtime[Settings]) -> APIRouter:
    """One ticket."""
    routes = APIRouter(tags=["tickets"])

    @routes.get("/v1/tickets/{id}", response_model=TicketView)
    async def read_ticket(id: str, caller: Caller) -> Response:
        """One ticket, by its id or its number."""
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
            settings = await rt.database.settings.read(connection)
        staff = caller.has("agent")
        return respond(view(seen, settings, staff=staff), version=seen.ticket.version)

    @routes.patch("/v1/tickets/{id}", response_model=TicketView)
    async def change_ticket(
        id: str,
        body: bodies.TicketPatch,
        request: Request,
        caller: Caller,
        version: RequiredVersion,
    ) -> Response:
        """Change fields; agents may also hand it to another of their products."""
        fields = body.fields()
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            require_kind(caller, STAFF, "Only agents and the product can change a ticket.")
            check_version(version, ticket.version)
            if "product" in fields and fields["product"] != ticket.product:
                require_kind(caller, [ActorKind.AGENT], "Only agents can change the product.")
                authorize(caller, product=fields["product"])
                if ticket.external_ref:
                    raise Conflict("A ticket with an external_ref stays with its product.")
            await usecases.edit(docket, ticket, origin(request, caller, ticket.product), fields)
            return await shown(docket, ticket.id)

    @routes.get(
        "/v1/tickets/{id}/log", response_model=Page[LogView], dependencies=[require("agent")]
    )
    async def read_log(
        id: str, caller: Caller, limit: Limit = 100, cursor: CursorParam = None
    ) -> Response:
        """All that happened to a ticket in any service, in the order it happened."""
        after = _LOG.decode(cursor)
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
            found = await log.read(connection, seen.ticket.id, after=after, limit=limit + 1)
        return respond(
            _LOG.page(
                found,
                limit,
                position=lambda line: (line.occurred_at, line.position),
                item=log_view,
            )
        )

    return routes
