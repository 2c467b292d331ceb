"""`GET /v1/tickets`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Limit,
    Page,
    respond,
)
from waybill_chassis.ids import parse_id
from waybill_chassis.service import Runtime

from waybill_intake import access
from waybill_intake.domain.words import (
    ActorKind,
    Priority,
    Status,
    TicketType,
)
from waybill_intake.http.views import TicketView, view
from waybill_intake.settings import Settings
from waybill_intake.store import lists

_TICKETS = Cursor[tuple[datetime, UUID]]("tickets", tuple[datetime, UUID])


def router(rt: Runtime[Settings]) -> APIRouter:
    """Lists of tickets."""
    routes = APIRouter(tags=["tickets"])

    @routes.get("/v1/tickets", response_model=Page[TicketView])
    async def list_tickets(
        caller: Caller,
        status: Annotated[list[Status] | None, Query()] = None,
        product: str | None = None,
        type: TicketType | None = None,
        priority: Priority | None = None,
        assignee: Annotated[str | None, Query(description="Id, e-mail address or `me`.")] = None,
        unassigned: bool = False,
        submitter: Annotated[str | None, Query(description="Id or e-mail address.")] = None,
        tag: str | None = None,
        limit: Limit = 50,
        cursor: CursorParam = None,
    ) -> Response:
        """The tickets that the caller may see, the newest first."""
        own = access.standing(caller) is ActorKind.SUBMITTER
        if assignee == "me":
            assignee = access.address_of(caller)
        wanted = lists.Filter(
            products=None if own else caller.readable_products,
            submitter_email=access.address_of(caller) if own else None,
            status=status,
            product=product,
            type=type,
            priority=priority,
            assignee=assignee,
            unassigned=unassigned,
            submitter_id=(by_id := parse_id(submitter or "")),
            submitter=None if by_id else submitter,
            tag=tag.lower() if tag else None,
        )
        after = _TICKETS.decode(cursor)
        async with rt.database.reading() as connection:
            found = await lists.find(connection, wanted, after=after, limit=limit + 1)
            settings = await rt.database.settings.read(connection)
        return respond(
            _TICKETS.page(
                found,
                limit,
                position=lambda seen: (seen.ticket.created_at, seen.ticket.id),
                item=lambda seen: view(seen, settings),
            )
        )

    return routes
