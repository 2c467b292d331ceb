"""`/v1/tickets`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from waybill_chassis.auth import ALL_PRODUCTS, Principal, authorize
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    ExpectedVersion,
    Limit,
    Page,
    RequiredVersion,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import (
    Conflict,
    Forbidden,
    check_version,
    invalid_field,
)
from waybill_chassis.service import Runtime

from waybill_intake import access, bodies, usecases
from waybill_intake.docket import Docket
from waybill_intake.domain import rules
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    MessageKind,
    Priority,
    Status,
    TicketType,
)
from waybill_intake.http.callers import origin, require_kind, see, shown, take
from waybill_intake.http.views import LogView, MessageView, TicketView, log_view, message_view, view
from waybill_intake.settings import Settings
from waybill_intake.store import lists, log, tickets

_TICKETS = Cursor[tuple[datetime, UUID]]("tickets", tuple[datetime, UUID])
_MESSAGES = Cursor[tuple[datetime, UUID]]("messages", tuple[datetime, UUID])
_LOG = Cursor[tuple[datetime, int]]("log", tuple[datetime, int])

_STAFF = (ActorKind.AGENT, ActorKind.PRODUCT)


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes about tickets."""
    routes = APIRouter(tags=["tickets"])
    _collection(routes, rt)
    _single(routes, rt)
    _conversation(routes, rt)
    _acts(routes, rt)
    return routes


def _product(body: bodies.NewTicket, caller: Principal, settings: Settings) -> str:
    """The product a new ticket belongs to: as named, else the only one of the token."""
    product = body.product
    if product is None and len(caller.products) == 1 and ALL_PRODUCTS not in caller.products:
        (product,) = caller.products
    product = product or settings.default_product or ("demo" if settings.demo else "")
    if not product:
        raise invalid_field("product", "is required: your token does not name a single one")
    authorize(caller, product=product)
    return product


def _person(body: bodies.NewTicket, caller: Principal) -> usecases.Person | None:
    """The person a new ticket is for; a submitter's is for themselves."""
    given = body.submitter
    if access.standing(caller) is not ActorKind.SUBMITTER:
        if given is None:
            return None
        return usecases.Person(email=given.email, name=given.name or "", tier=given.tier or "")
    address = access.address_of(caller)
    if given and (given.email != address or given.tier):
        raise invalid_field("submitter", "is filled in from your token: leave it out")
    if body.external_ref:
        raise invalid_field("external_ref", "is for products and agents: leave it out")
    return usecases.Person(email=address, name=(given and given.name) or caller.name or "")


def _collection(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.post("/v1/tickets", status_code=201, response_model=TicketView)
    async def open_ticket(
        body: bodies.NewTicket, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Open a ticket. 200 with the one that is open already for the same `external_ref`."""
        person = _person(body, caller)
        product = _product(body, caller, rt.settings)
        opening = usecases.Opening(
            product=product,
            draft=body.draft(),
            person=person,
            channel=Channel.API,
            origin=origin(request, caller, product),
        )

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            ticket, new = await usecases.open_ticket(docket, opening, rt.settings.default_priority)
            return await shown(docket, ticket.id, status=201 if new else 200, created=True)

        return await once(effect)

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
        return respond(
            _TICKETS.page(
                found,
                limit,
                position=lambda seen: (seen.ticket.created_at, seen.ticket.id),
                item=view,
            )
        )


def _single(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.get("/v1/tickets/{id}", response_model=TicketView)
    async def read_ticket(id: str, caller: Caller) -> Response:
        """One ticket, by its id or its number."""
        async with rt.database.reading() as connection:
            seen = await see(connection, caller, id)
        return respond(view(seen), version=seen.ticket.version)

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
            require_kind(caller, _STAFF, "Only agents and the product can change a ticket.")
            check_version(version, ticket.version)
            if "product" in fields and fields["product"] != ticket.product:
                require_kind(caller, [ActorKind.AGENT], "Only agents can change the product.")
                authorize(caller, product=fields["product"])
                if ticket.external_ref:
                    raise Conflict("A ticket with an external_ref stays with its product.")
            usecases.edit(docket, ticket, origin(request, caller, ticket.product), fields)
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


def _conversation(routes: APIRouter, rt: Runtime[Settings]) -> None:
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
                seen.ticket.id,
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


def _acts(routes: APIRouter, rt: Runtime[Settings]) -> None:
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
            usecases.change_status(
                docket,
                ticket,
                origin(request, caller, ticket.product),
                body.to,
                reason=body.reason,
                comment=body.comment or "",
            )
            return await shown(docket, ticket.id)

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
            return await shown(docket, source.id)

        return await once(effect)

    @routes.post("/v1/tickets/{id}/links", status_code=201, response_model=TicketView)
    async def link(
        id: str, body: bodies.NewLink, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Link this ticket to another one. 200 when they are linked so already."""
        require_kind(caller, _STAFF, "Only agents and the product can link tickets.")

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            ticket, other = await take(docket, caller, id, body.ticket)
            made = usecases.link(
                docket, ticket, other, body.kind, origin(request, caller, ticket.product)
            )
            return await shown(docket, ticket.id, status=201 if made else 200)

        return await once(effect)

    @routes.post("/v1/tickets/{id}/rating", status_code=201, response_model=TicketView)
    async def rate(
        id: str, body: bodies.NewRating, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Rate the help with a closed ticket, once."""
        require_kind(caller, [ActorKind.SUBMITTER], "Only the submitter rates a ticket.")

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            rated = rules.rate(
                ticket, body.score, body.comment or "", uow.now, rt.settings.rating_window
            )
            docket.note([rated], origin(request, caller, ticket.product))
            return await shown(docket, ticket.id, status=201)

        return await once(effect)
