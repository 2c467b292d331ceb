"""Searching articles and similar tickets over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import TOKEN_OPTIONAL, Caller, MaybeCaller, require, respond
from waybill_chassis.service import Runtime

from waybill_kb.http.bodies import (
    Language,
    Question,
    SimilarShown,
    SimilarTickets,
    Slug,
    found,
)
from waybill_kb.lookup import similar_to
from waybill_kb.settings import Settings
from waybill_kb.usecases.articles import Suggestion, suggest


def router(rt: Runtime[Settings]) -> APIRouter:
    """`/v1/search`, `/v1/suggestions` and `/v1/tickets/{id}/similar`."""
    routes = APIRouter(tags=["search"])

    async def ask(
        question: str,
        reader: Principal | None,
        product: str | None,
        language: str | None,
        limit: int,
    ) -> list[Suggestion]:
        async with rt.database.reading() as connection:
            return await suggest(
                connection,
                question,
                products=None if product is None else [product],
                language=language,
                insider=reader if reader is not None and reader.has("agent") else None,
                limit=limit,
                minimum=rt.settings.minimum_confidence,
            )

    @routes.get("/v1/search", openapi_extra=TOKEN_OPTIONAL)
    async def search(
        reader: MaybeCaller,
        q: Annotated[str, Query(min_length=1, max_length=500)],
        product: Annotated[Slug | None, Query()] = None,
        language: Annotated[Language | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> Response:
        """Published articles that may answer; agents find internal ones too."""
        return respond(found(await ask(q, reader, product, language, limit)))

    @routes.post("/v1/suggestions")
    async def suggestions(body: Question, reader: Caller) -> Response:
        """Articles that may answer a longer question, such as a ticket's text."""
        return respond(found(await ask(body.text, reader, body.product, body.language, body.limit)))

    @routes.get("/v1/tickets/{id}/similar")
    async def similar(
        id: Annotated[str, "an id or a number"],
        agent: Annotated[Principal, require("agent")],
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> Response:
        """Tickets of the same product that resemble this one, the most similar first."""
        tickets = await similar_to(rt, id, limit=limit, reader=agent)
        items = [
            SimilarShown(
                ticket_id=ticket.id,
                number=ticket.number,
                similarity=round(similarity, 4),
                same_text=same_text,
                same_submitter=same_submitter,
                created_at=ticket.created_at,
            )
            for ticket, similarity, same_text, same_submitter in tickets
        ]
        return respond(SimilarTickets(items=items))

    return routes
