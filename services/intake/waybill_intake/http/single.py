"""Changing a ticket, and its log."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from waybill_chassis.auth import authorize
from waybill_chassis.http import (
    Caller,
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
from waybill_intake.http.page import LOG
from waybill_intake.http.views import LogView, TicketView, log_view
from waybill_intake.settings import Settings
from waybill_intake.store import log

Source = Annotated[
    Literal["intake", "routing", "sla", "notify", "kb"] | None,
    Query(description="Only what this service told."),
]
EventType = Annotated[
    str | None,
    Query(max_length=200, description="Only events of this type, such as `TicketAssigned`."),
]


def router(rt: Runtime[Settings]) -> APIRouter:
    """One ticket."""
    routes = APIRouter(tags=["tickets"])

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
            return await shown(docket, caller, ticket.id)

    @routes.get(
        "/v1/tickets/{id}/log", response_model=Page[LogView], dependencies=[require("agent")]
    )
    async def read_log(
        id: str,
        caller: Caller,
        source: Source = None,
        type: EventType = None,
        limit: Limit = 100,
        cursor: CursorParam = None,
    ) -> Response:
        """All that happened to a ticket in any service, in the order it happened."""
        after = LOG.decode(cursor)
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
            found = await log.read(
                connection,
                seen.ticket.id,
                after=after,
                limit=limit + 1,
                source=source and f"/waybill/{source}",
                type=type,
            )
        return respond(
            LOG.page(
                found,
                limit,
                position=lambda line: (line.occurred_at, line.position),
                item=log_view,
            )
        )

    return routes
