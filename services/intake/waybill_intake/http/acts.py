"""What is done with a ticket: moves, merges, links, ratings."""

from fastapi import APIRouter, Request
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    ExpectedVersion,
    RunOnce,
    require,
)
from waybill_chassis.problems import (
    check_version,
)
from waybill_chassis.service import Runtime

from waybill_intake import bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain import rules
from waybill_intake.domain.words import (
    ActorKind,
    Status,
)
from waybill_intake.http.callers import STAFF, origin, require_kind, see, shown, take
from waybill_intake.http.views import TicketView
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.settings import Settings


def router(rt: Runtime[Settings]) -> APIRouter:
    """Moves, merges, links, ratings."""
    routes = APIRouter(tags=["tickets"])

    @routes.post("/v1/tickets/{id}/transitions", response_model=TicketView)
    async def change_status(
        id: str,
        body: bodies.Transition,
        request: Request,
        caller: Caller,
        version: ExpectedVersion,
        once: RunOnce,
    ) -> Response:
        """Move to another status; 409 names the moves that are allowed."""

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            check_version(version, ticket.version)
            if body.to is Status.RESOLVED:
                await docket.know_playbooks()
            usecases.change_status(
                docket,
                ticket,
                origin(request, caller, ticket.product),
                body.to,
                reason=body.reason,
                comment=body.comment or "",
            )
            return await shown(docket, caller, ticket.id)

        return await once(effect)

    @routes.post(
        "/v1/tickets/{id}/merge", response_model=TicketView, dependencies=[require("agent")]
    )
    async def merge(
        id: str,
        body: bodies.MergeBody,
        request: Request,
        caller: Caller,
        version: ExpectedVersion,
        once: RunOnce,
    ) -> Response:
        """Close this ticket as a duplicate of another one of its product."""

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            source, target = await take(docket, caller, id, body.into)
            check_version(version, source.version)
            usecases.merge(docket, source, target, origin(request, caller, source.product))
            return await shown(docket, caller, source.id)

        return await once(effect)

    @routes.delete(
        "/v1/tickets/{id}/merge", response_model=TicketView, dependencies=[require("agent")]
    )
    async def undo_merge(
        id: str, request: Request, caller: Caller, version: ExpectedVersion
    ) -> Response:
        """Undo the merge that closed this ticket, within a day: both are as they were before."""
        async with rt.database.unit_of_work() as uow:
            source = (await see(uow.connection, caller, id)).ticket
            docket = Docket(uow)
            await usecases.undo_merge(
                docket,
                source,
                (await uow.settings()).of(IntakeSettings).undo_merge_window,
                origin(request, caller, source.product),
                version,
            )
            return await shown(docket, caller, source.id)

    @routes.post(
        "/v1/tickets/{id}/links",
        status_code=201,
        response_model=TicketView,
        responses={200: {"model": TicketView, "description": "They are linked so already."}},
    )
    async def link(
        id: str, body: bodies.NewLink, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Link this ticket to another one. 200 when they are linked so already."""
        require_kind(caller, STAFF, "Only agents and the product can link tickets.")

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            ticket, other = await take(docket, caller, id, body.ticket)
            made = usecases.link(
                docket, ticket, other, body.kind, origin(request, caller, ticket.product)
            )
            return await shown(docket, caller, ticket.id, status=201 if made else 200)

        return await once(effect)

    @routes.delete("/v1/tickets/{id}/links/{ticket}", response_model=TicketView)
    async def unlink(id: str, ticket: str, request: Request, caller: Caller) -> Response:
        """Take the links between two tickets away; nothing happens where there is none."""
        require_kind(caller, STAFF, "Only agents and the product can unlink tickets.")
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            mine, other = await take(docket, caller, id, ticket)
            usecases.unlink(docket, mine, other, origin(request, caller, mine.product))
            return await shown(docket, caller, mine.id)

    @routes.post("/v1/tickets/{id}/rating", status_code=201, response_model=TicketView)
    async def rate(
        id: str, body: bodies.NewRating, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Rate the help with a closed ticket, once."""
        require_kind(caller, [ActorKind.SUBMITTER], "Only the submitter rates a ticket.")

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            settings = (await uow.settings()).of(IntakeSettings)
            rated = rules.rate(
                ticket, body.score, body.comment or "", uow.now, settings.rating_window
            )
            docket.note([rated], origin(request, caller, ticket.product))
            return await shown(docket, caller, ticket.id, status=201)

        return await once(effect)

    return routes
