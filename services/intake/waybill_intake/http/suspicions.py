"""`/v1/tickets/{id}/suspected-duplicates`: what is not the same after all."""

from fastapi import APIRouter, Request
from starlette.responses import Response
from waybill_chassis.http import Caller, require, respond
from waybill_chassis.service import Runtime

from waybill_intake import automation
from waybill_intake.docket import Docket
from waybill_intake.domain.words import ActorKind
from waybill_intake.http.callers import origin, see, take
from waybill_intake.http.views import TicketView, view
from waybill_intake.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """Taking a suspicion away; merging is the way to say that it is right."""
    routes = APIRouter(tags=["tickets"])

    @routes.delete(
        "/v1/tickets/{id}/suspected-duplicates/{ticket}",
        response_model=TicketView,
        dependencies=[require("agent")],
    )
    async def dismiss(id: str, ticket: str, request: Request, caller: Caller) -> Response:
        """Say that two tickets are not the same; nothing happens where nobody suspects it."""
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            mine, other = await take(docket, caller, id, ticket)
            await automation.dismiss(docket, mine, other, origin(request, caller, mine.product))
            await docket.write()
            seen = await see(uow.connection, caller, str(mine.id))
            shown = view(seen, await uow.settings(), ActorKind.AGENT)
            return respond(shown, version=seen.ticket.version)

    return routes
