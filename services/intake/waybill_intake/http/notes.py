"""`/v1/tickets/{id}/messages/{message_id}`: notes are edited, and what they were like is kept.

Beside it: what an agent is about to say, shown before it is said.
"""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    ExpectedVersion,
    Instant,
    Limit,
    Page,
    ResponseModel,
    require,
    respond,
)
from waybill_chassis.problems import NotFound, Problem, check_version, invalid_field
from waybill_chassis.service import Runtime

from waybill_intake import bodies
from waybill_intake.docket import Docket
from waybill_intake.domain.conversation import edit_note
from waybill_intake.domain.ticket import Message
from waybill_intake.domain.words import ActorKind, MessageKind
from waybill_intake.http import quick_replies
from waybill_intake.http.callers import origin, see, take
from waybill_intake.http.views import MessageView, message_view
from waybill_intake.markdown import mentions, to_html
from waybill_intake.settings import Settings
from waybill_intake.store import attachments, messages

_EDITS = Cursor[int]("edits", int)

Agent = Annotated[Principal, require("agent")]


class EditorView(ResponseModel):
    """Who edited a note."""

    id: str
    name: str


class EditView(ResponseModel):
    """What a note was like until `edited_at`."""

    body: str
    edited_at: Instant
    editor: EditorView


class PreviewView(ResponseModel):
    """What would be said, and how it would look."""

    body: str
    body_html: str
    quick_reply_id: str | None


def router(rt: Runtime[Settings]) -> APIRouter:
    """Single messages."""
    routes = APIRouter()

    @routes.patch("/v1/tickets/{id}/messages/{message_id}", response_model=MessageView)
    async def edit(
        id: str,
        message_id: UUID,
        body: bodies.NoteEdit,
        request: Request,
        agent: Agent,
        version: ExpectedVersion,
    ) -> Response:
        """Rewrite a note of one's own; `If-Match` is the ticket's version."""
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            (ticket,) = await take(docket, agent, id)
            check_version(version, ticket.version)
            message = await _read(uow.connection, ticket.id, message_id)
            by = origin(request, agent, ticket.product)
            edited = edit_note(
                ticket,
                message,
                by=by.actor,
                body=body.body,
                mentions=spoken_to(MessageKind.NOTE, body.body, body.mentions),
                at=docket.now,
            )
            docket.note(edited, by)
            await docket.write()
            after = edited[-1].message if edited else message
            files = await attachments.of_messages(uow.connection, [after])
        return respond(message_view(after, ActorKind.AGENT, files))

    @routes.get("/v1/tickets/{id}/messages/{message_id}/history", response_model=Page[EditView])
    async def history(
        id: str, message_id: UUID, agent: Agent, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """What a note was like before each of its edits, the first words first."""
        after = _EDITS.decode(cursor)
        async with rt.database.reading() as connection:
            ticket = (await see(connection, agent, id)).ticket
            await _read(connection, ticket.id, message_id)
            found = await messages.edits(connection, message_id, after=after, limit=limit + 1)
        return respond(
            _EDITS.page(
                found,
                limit,
                position=lambda edit: edit.position,
                item=lambda edit: EditView(
                    body=edit.body,
                    edited_at=edit.edited_at,
                    editor=EditorView(id=edit.editor_id, name=edit.editor_name),
                ),
            )
        )

    @routes.post("/v1/tickets/{id}/messages/preview", response_model=PreviewView)
    async def preview(id: str, body: bodies.Words, agent: Agent) -> Response:
        """What a message would be like, a quick reply filled in; nothing is said yet."""
        async with rt.database.reading() as connection:
            await see(connection, agent, id)
        said = await quick_replies.words(rt, agent, id, body)
        if isinstance(said, Problem):
            raise said
        return respond(
            PreviewView(
                body=said.body,
                body_html=await asyncio.to_thread(to_html, said.body),
                quick_reply_id=said.quick_reply_id or None,
            )
        )

    return routes


async def _read(connection: AsyncConnection, ticket_id: UUID, id: UUID) -> Message:
    """A message of a ticket; `NotFound` for one of another."""
    if (message := await messages.read(connection, ticket_id, id)) is None:
        raise NotFound(f"There is no message {id} in this ticket.")
    return message


def spoken_to(kind: MessageKind, body: str, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The agents that a message speaks to: those named beside it, and in a note also in it.

    What stands in a reply is the submitter's to read, so nobody is taken from there.
    """
    found = list(given or ())
    if kind is MessageKind.NOTE:
        found += mentions(body)
    unique = tuple(dict.fromkeys(found))
    if len(unique) > bodies.MOST_MENTIONS:
        raise invalid_field("body", f"must not mention more than {bodies.MOST_MENTIONS} people")
    return unique
