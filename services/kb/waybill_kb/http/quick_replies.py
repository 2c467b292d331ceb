"""Quick replies over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import Cursor, CursorParam, Limit, RunOnce, require, respond
from waybill_chassis.service import Runtime

from waybill_kb.domain.articles import covers
from waybill_kb.domain.quick_replies import Body, QuickReplyUnknown
from waybill_kb.http.bodies import NewQuickReply, Slug, shown_reply
from waybill_kb.settings import Settings
from waybill_kb.store import quick_replies as store
from waybill_kb.usecases import quick_replies

_PLACES = Cursor[tuple[str]]("quick_replies", tuple[str])

Agent = Annotated[Principal, require("agent")]


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/quick-replies`."""
    routes = APIRouter(prefix="/v1/quick-replies", tags=["quick replies"])

    @routes.post("", status_code=201)
    async def create(
        body: NewQuickReply, once: RunOnce, lead: Annotated[Principal, require("lead")]
    ) -> Response:
        """Write a quick reply."""

        async def effect(uow: UnitOfWork) -> Response:
            reply = await quick_replies.create(
                uow,
                name=body.name,
                title=body.title,
                bodies=[Body(item.language, item.text) for item in body.bodies],
                products=body.products,
                author=lead,
            )
            return respond(
                shown_reply(reply),
                status=201,
                version=reply.version,
                location=f"/v1/quick-replies/{reply.id}",
            )

        return await once(effect)

    @routes.get("")
    async def browse(
        agent: Agent,
        limit: Limit = 50,
        cursor: CursorParam = None,
        product: Annotated[Slug | None, Query()] = None,
    ) -> Response:
        """Quick replies by name."""
        place = _PLACES.decode(cursor)
        async with rt.database.reading() as connection:
            rows = await store.page(
                connection,
                products=agent.readable_products,
                product=product,
                after=place[0] if place else None,
                limit=limit + 1,
            )
        return respond(_PLACES.page(rows, limit, position=lambda r: (r.name,), item=shown_reply))

    @routes.get("/{id}")
    async def read(id: str, agent: Agent) -> Response:
        """A quick reply by its id or its name."""
        async with rt.database.reading() as connection:
            reply = await store.find(connection, id)
        if reply is None or not covers(reply.products, agent):
            raise QuickReplyUnknown(f"There is no quick reply {id}.")
        return respond(shown_reply(reply), version=reply.version)

    return routes
