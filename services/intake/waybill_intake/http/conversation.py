"""`/v1/tickets/{id}/messages`."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from waybill_chassis.auth import Principal
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
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.problems import (
    Conflict,
    Forbidden,
    Problem,
    invalid_field,
)
from waybill_chassis.service import Runtime

from waybill_intake import access, answering, bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.moves import require_open
from waybill_intake.domain.ticket import Message, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    MessageKind,
)
from waybill_intake.http import notes, quick_replies
from waybill_intake.http.callers import origin, see
from waybill_intake.http.views import (
    HtmlMessageView,
    MessageView,
    follow_up_view,
    message_view,
)
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.markdown import to_html
from waybill_intake.settings import Settings
from waybill_intake.store import attachments, tickets

MESSAGES = Cursor[tuple[datetime, UUID]]("messages", tuple[datetime, UUID])
"""A place in a conversation."""

_MOST_ATTEMPTS = 5

Html = Annotated[
    Literal["html"] | None,
    Query(description="`html`: each message also as `body_html`, safe to show."),
]


def router(rt: Runtime[Settings]) -> APIRouter:
    """The conversation."""
    routes = APIRouter(tags=["tickets"])

    @routes.post("/v1/tickets/{id}/messages", status_code=201, response_model=MessageView)
    async def post_message(
        id: str, body: bodies.NewMessage, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Reply in public, or leave a note for agents.

        An answer to a ticket that was merged goes into the one that remains. The user's answer to a
        closed one opens a ticket that follows it, or goes into the one that is open already:
        `ticket_id` and `Location` tell which.
        """
        by = access.standing(caller)
        if by is not ActorKind.AGENT and body.kind is MessageKind.NOTE:
            raise Forbidden("Only agents write notes.", required_roles=["agent"])
        if by is not ActorKind.AGENT and body.quick_reply_id:
            raise invalid_field("quick_reply_id", "is for agents: leave it out")
        if by is not ActorKind.AGENT and body.mentions:
            raise invalid_field("mentions", "is for agents: leave it out")
        said = await quick_replies.words(rt, caller, id, body)
        hand: set[UUID] = set()

        async def effect(uow: UnitOfWork) -> Response:
            if isinstance(said, Problem):
                raise said
            docket = Docket(uow)
            named, place = await _place(docket, caller, by, id, hand)
            ticket = place.ticket
            whence = origin(request, caller, ticket.product)
            owner = access.owner_of(caller, ticket.product)
            await docket.take_files(body.attachment_ids or ())
            if place.new:
                settings = (await uow.settings()).of(IntakeSettings)
                if not settings.follow_up_on_closed:
                    require_open(ticket)
                opening = answering.opening(
                    ticket, said.body, whence, body.attachment_ids or (), owner
                )
                new = await answering.open_follow_up(docket, ticket, opening)
                await docket.write()
                files = await attachments.read(uow.connection, new.attachment_ids)
                return respond(
                    follow_up_view(new, whence.actor, by, files),
                    status=201,
                    location=f"/v1/tickets/{new.id}",
                )
            message = usecases.post_message(
                docket,
                ticket,
                whence,
                kind=body.kind,
                body=said.body,
                quick_reply_id=said.quick_reply_id,
                mentions=notes.spoken_to(body.kind, said.body, body.mentions),
                attachment_ids=body.attachment_ids or (),
                owner=owner,
            )
            await docket.write()
            files = await attachments.of_messages(uow.connection, [message])
            return respond(
                message_view(message, by, files),
                status=201,
                location=None if ticket.id == named else f"/v1/tickets/{ticket.id}",
            )

        for _ in range(_MOST_ATTEMPTS):
            try:
                return await once(effect)
            except answering.Elsewhere as found:
                hand |= found.ids
        raise Conflict("This ticket changes too fast just now: send it again in a moment.")

    @routes.get(
        "/v1/tickets/{id}/messages", response_model=Page[HtmlMessageView] | Page[MessageView]
    )
    async def list_messages(
        id: str,
        caller: Caller,
        limit: Limit = 50,
        cursor: CursorParam = None,
        expand: Html = None,
    ) -> Response:
        """The conversation, oldest first; agents see the notes too."""
        by = access.standing(caller)
        after = MESSAGES.decode(cursor)
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
            found = await tickets.messages(
                connection,
                seen.ticket,
                notes=by is ActorKind.AGENT,
                after=after,
                limit=limit + 1,
            )
            files = await attachments.of_messages(connection, found)
        return respond(await page_of(found, files, limit, by, html=expand == "html"))

    routes.include_router(notes.router(rt))
    return routes


async def page_of(
    found: list[Message],
    files: Mapping[UUID, Attachment],
    limit: int,
    by: ActorKind,
    *,
    html: bool,
) -> Page[MessageView]:
    """A page of the conversation, as somebody of this kind may see it."""
    views = [message_view(message, by, files) for message in found]
    if html:
        # Away from the loop: a long text of nothing but brackets takes its time.
        views = await asyncio.to_thread(_with_html, views)
    return MESSAGES.page(
        list(zip(found, views, strict=True)),
        limit,
        position=lambda pair: (pair[0].created_at, pair[0].id),
        item=lambda pair: pair[1],
    )


def _with_html(views: list[MessageView]) -> list[MessageView]:
    return [HtmlMessageView(**dict(view), body_html=to_html(view.body)) for view in views]


async def _place(
    docket: Docket, caller: Principal, by: ActorKind, name: str, hand: set[UUID]
) -> tuple[UUID, answering.Place]:
    """The ticket that is named, and where the caller's words go.

    `Elsewhere` while not all that goes on with it is in `hand`.
    """
    id = await usecases.id_of(docket.uow.connection, name)
    await docket.take({id, *hand}, survivors=True)
    ticket = docket.find(id)
    if ticket is None or not access.can_see(caller, ticket):
        raise unknown_ticket(name)
    if more := await answering.missing(docket, [id]):
        raise answering.Elsewhere(more)

    def may_enter(other: Ticket) -> bool:
        # A submitter's words go wherever their ticket went.
        return by is ActorKind.SUBMITTER or access.can_see(caller, other)

    return id, answering.place_of(docket, ticket, by, may_enter)
