"""`/v1/tickets/{id}/messages`."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Limit,
    Page,
    RunOnce,
    respond,
)
from waybill_chassis.problems import (
    Forbidden,
    invalid_field,
)
from waybill_chassis.service import Runtime

from waybill_intake import access, bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain.words import (
    ActorKind,
    MessageKind,
)
from waybill_intake.http.callers import origin, see, take
from waybill_intake.http.views import MessageView, message_view
from waybill_intake.settings import Settings
from waybill_intake.store import tickets

_MESSAGES = Cursor[tuple[datetime, UUID]]("messages", tuple[datetime, UUID])


def router(rt: Runtime[Settings]) -> APIRouter:
    """The conversation."""
    routes = APIRouter(tags=["tickets"])

    @routes.post("/v1/tickets/{id}/messages", status_code=201, response_model=MessageView)
    async def post_message(
        id: str, body: bodies.NewMessage, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Reply in public, or leave a note for agents."""
        by = access.standing(caller)
        bodies.known_attachments(body.attachment_ids)
        if by is not ActorKind.AGENT and body.kind is MessageKind.NOTE:
            raise Forbidden("Only agents write notes.", required_roles=["agent"])
        if by is not ActorKind.AGENT and body.quick_reply_id:
            raise invalid_field("quick_reply_id", "is for agents: leave it out")

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            message = usecases.post_message(
                docket,
                ticket,
                origin(request, caller, ticket.product),
                kind=body.kind,
                body=body.body,
                quick_reply_id=body.quick_reply_id or "",
            )
            await docket.write()
            return respond(message_view(message, by), status=201)

        return await once(effect)

    @routes.get("/v1/tickets/{id}/messages", response_model=Page[MessageView])
    async def list_messages(
        id: str, caller: Caller, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """The conversation, oldest first; agents see the notes too."""
        by = access.standing(caller)
        after = _MESSAGES.decode(cursor)
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
            found = await tickets.messages(
                connection,
                seen.ticket,
                notes=by is ActorKind.AGENT,
                after=after,
                limit=limit + 1,
            )
        return respond(
            _MESSAGES.page(
                found,
                limit,
                position=lambda message: (message.created_at, message.id),
                item=lambda message: message_view(message, by),
            )
        )

    return routes
