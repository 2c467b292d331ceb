"""`/v1/attachments`: files come in and go out as streams, never whole in memory."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from waybill_chassis import auth
from waybill_chassis.auth import Principal
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.http import (
    Caller,
    Instant,
    MaybeCaller,
    Once,
    ResponseModel,
    RunOnce,
    respond,
)
from waybill_chassis.ids import new_id, parse_id
from waybill_chassis.problems import Conflict, NotFound, Problem
from waybill_chassis.service import Runtime

from waybill_intake import access
from waybill_intake.attachments.form import sent_file
from waybill_intake.attachments.kinds import SHOWN
from waybill_intake.attachments.links import FileSigner
from waybill_intake.attachments.names import disposition
from waybill_intake.attachments.objects import Objects
from waybill_intake.attachments.ranges import Span, span_of
from waybill_intake.attachments.receiving import Limits, Received, abandon, receive
from waybill_intake.domain.attachments import Attachment, Owner
from waybill_intake.domain.words import ActorKind
from waybill_intake.http.views import AttachmentView
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.settings import Settings
from waybill_intake.store import attachments as store
from waybill_intake.store import tickets

PATH = "/v1/attachments"
FORM_BYTES = 64 * 1024
"""What a form may have around its file."""

# The rest of a body that was refused is read if it is as short as this, so that whoever still
# sends gets to see the refusal; else the connection is closed.
_MOST_REST = 1024 * 1024
_REST_SECONDS = 2.0
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _BINARY["schema"]},
                }
            },
            "application/octet-stream": _BINARY,
        },
    }
}


class UploadView(AttachmentView):
    """An upload; it goes at `expires_at` unless a ticket or a message carries it by then."""

    created_at: Instant
    expires_at: Instant


class FileLinkView(ResponseModel):
    """A link that gives the file to whoever has it, until it ends."""

    url: str
    expires_at: Instant


def router(rt: Runtime[Settings], objects: Objects) -> APIRouter:
    """Files in and out."""
    routes = APIRouter(tags=["attachments"])
    database = rt.database

    @routes.post(PATH, status_code=201, response_model=UploadView, openapi_extra=_UPLOAD)
    async def upload(
        request: Request,
        caller: Caller,
        once: RunOnce,
        filename: Annotated[
            str | None, Query(description="The name of a file that is sent without a form.")
        ] = None,
    ) -> Response:
        """Upload a file, to be named in the `attachment_ids` of a ticket or a message.

        Either a form with the field `file`, or the file itself with its `filename`.
        """
        owner = _uploader(caller)
        async with database.reading() as connection:
            settings = (await database.settings.read(connection)).of(IntakeSettings)
        limits = Limits(
            rt.settings.attachments_max_bytes,
            settings.attachments_types,
            settings.attachments_max_waiting,
        )
        id, body = new_id(), request.stream()
        try:
            received = await receive(
                id,
                sent_file(request.headers, filename),
                body,
                owner=owner,
                limits=limits,
                database=database,
                objects=objects,
            )
        except Problem as problem:
            await _leave(body, problem)
            raise
        return await _keep(
            received,
            once,
            owner=owner,
            products=tuple(sorted(caller.products)),
            wait=settings.attachments_wait,
            database=database,
            objects=objects,
        )

    @routes.get(
        PATH + "/{id}",
        response_class=Response,
        responses={
            200: {"description": "The file", "content": {"application/octet-stream": _BINARY}},
            206: {"description": "The range that was asked for"},
            304: {"description": "It is as `If-None-Match` says"},
        },
    )
    async def download(
        id: str,
        request: Request,
        caller: MaybeCaller,
        expires: Annotated[int | None, Query(description="Of a link: when it ends.")] = None,
        sig: Annotated[str | None, Query(description="Of a link: its signature.")] = None,
    ) -> Response:
        """The file. Only plain pictures are shown in their place, all else is saved."""
        async with database.reading() as connection:
            file = await _asked(connection, id)
            if expires is not None and sig is not None:
                signer = await FileSigner.load(connection)
                if not signer.holds(file.id, expires, sig, rt.clock.now()):
                    raise _unknown()
            elif caller is None:
                raise auth.missing()
            elif not await _may_read(connection, caller, file):
                raise _unknown()
        return await _sent(request, file, objects)

    @routes.post(PATH + "/{id}/link", status_code=201, response_model=FileLinkView)
    async def link(id: str, caller: Caller) -> Response:
        """A link by which the file can be read without a token for a while."""
        async with database.reading() as connection:
            file = await _asked(connection, id)
            if not await _may_read(connection, caller, file):
                raise _unknown()
            signer = await FileSigner.load(connection)
            settings = (await database.settings.read(connection)).of(IntakeSettings)
        end = (rt.clock.now() + settings.attachment_link_lifetime).replace(microsecond=0)
        url = rt.settings.public_url.rstrip("/") + signer.path(file.id, end)
        return respond(FileLinkView(url=url, expires_at=end), status=201)

    return routes


def _uploader(caller: Principal) -> Owner:
    """As whose the upload counts; a product's token is known by its subject until then."""
    return access.owner_of(caller, caller.subject)


async def _keep(
    received: Received,
    once: Once,
    *,
    owner: Owner,
    products: tuple[str, ...],
    wait: timedelta,
    database: Database,
    objects: Objects,
) -> Response:
    """Give a file its row, or, where a repeated request has no use for it, give it up."""

    async def effect(uow: UnitOfWork) -> Response:
        file = Attachment(
            id=received.id,
            filename=received.filename,
            media_type=received.media_type,
            size_bytes=received.size_bytes,
            sha256=received.sha256,
            created_at=uow.now,
            owner_kind=owner.kind,
            owner=owner.id,
            products=products,
            expires_at=uow.now + wait,
        )
        if not await store.finish(uow, file):
            raise Conflict("The upload took too long: send it again.")
        return respond(UploadView.model_validate(file), status=201, location=f"{PATH}/{file.id}")

    try:
        answer = await once(effect, body_sha256=_same(received))
    except Exception:
        await abandon(received.id, database, objects)
        raise
    if "idempotent-replayed" in answer.headers:
        await abandon(received.id, database, objects)
    return answer


def _same(received: Received) -> bytes:
    """By what a repeated upload is known: a form has another boundary each time."""
    return hashlib.sha256(f"{received.sha256}/{received.filename}".encode()).digest()


async def _leave(body: AsyncIterator[bytes], problem: Problem) -> None:
    """Read the little that is left of a refused body, or have the connection closed."""
    rest = 0
    with suppress(TimeoutError, ClientDisconnect, HTTPException):
        async with asyncio.timeout(_REST_SECONDS):
            async for chunk in body:
                rest += len(chunk)
                if rest > _MOST_REST:
                    break
            else:
                return
    problem.headers["Connection"] = "close"


async def _asked(connection: AsyncConnection, id: str) -> Attachment:
    known = parse_id(id)
    found = await store.read(connection, [known] if known else [])
    if known is None or known not in found:
        raise _unknown()
    return found[known]


async def _may_read(connection: AsyncConnection, caller: Principal, file: Attachment) -> bool:
    """Whoever sees the ticket, but only agents what hangs on a note; before, who uploaded it."""
    # What somebody sent stays theirs to see, whatever ticket it is moved to.
    theirs = file.ticket_id is None or file.owner_kind is ActorKind.SUBMITTER
    if theirs and _is_owner(caller, file):
        return True
    if file.ticket_id is None or (file.internal and not caller.has("agent")):
        return False
    found = await tickets.read(connection, [file.ticket_id])
    return bool(found) and access.can_see(caller, found[0])


def _is_owner(caller: Principal, file: Attachment) -> bool:
    try:
        owner = _uploader(caller)
    except Problem:
        return False
    return (owner.kind, owner.id) == (file.owner_kind, file.owner)


def _unknown() -> NotFound:
    return NotFound("There is no such attachment, or the link to it has ended.")


async def _sent(request: Request, file: Attachment, objects: Objects) -> Response:
    tag = f'"{file.sha256}"'
    headers = _SAFE | {
        "ETag": tag,
        # By itself the framework would say that every text is UTF-8, of which nothing is known.
        "Content-Type": file.media_type,
        "Content-Disposition": disposition(file.filename, inline=file.media_type in SHOWN),
    }
    if tag in [one.strip() for one in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    given = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        given = None
    span = span_of(given, file.size_bytes)
    part = span or Span(0, file.size_bytes)
    content = await objects.read(file.id, part.start, part.end)
    if content is None:
        raise _unknown()
    headers["Content-Length"] = str(part.end - part.start)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{file.size_bytes}"
    return StreamingResponse(_closing(content), 206 if span else 200, headers=headers)


async def _closing(content: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(content):
        async for chunk in content:
            yield chunk
