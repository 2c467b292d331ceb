"""Articles over HTTP."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.causes import request_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    TOKEN_OPTIONAL,
    Caller,
    Cursor,
    CursorParam,
    ExpectedVersion,
    Limit,
    MaybeCaller,
    RequiredVersion,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.problems import check_version
from waybill_chassis.service import Runtime

from waybill_kb.domain.articles import State
from waybill_kb.http.bodies import (
    ArticleChange,
    Feedback,
    FeedbackGiven,
    Language,
    NewArticle,
    Slug,
    brief,
    shown,
    shown_to_agents,
)
from waybill_kb.settings import Settings
from waybill_kb.store import articles as store
from waybill_kb.usecases import articles

_PLACES = Cursor[tuple[UUID]]("articles", tuple[UUID])

Agent = Annotated[Principal, require("agent")]
Lead = Annotated[Principal, require("lead")]


def router(rt: Runtime[Settings]) -> APIRouter:
    """The routes below `/v1/articles`."""
    routes = APIRouter(prefix="/v1/articles", tags=["articles"])
    database = rt.database

    @routes.post("", status_code=201)
    async def create(body: NewArticle, once: RunOnce, agent: Agent) -> Response:
        """Begin an article; it is a draft until a lead publishes it."""

        async def effect(uow: UnitOfWork) -> Response:
            article = await articles.draft(uow, body.content(), agent)
            assert article is not None
            return respond(
                shown(article),
                status=201,
                version=article.version,
                location=f"/v1/articles/{article.id}",
            )

        return await once(effect)

    @routes.get("", openapi_extra=TOKEN_OPTIONAL)
    async def browse(
        reader: MaybeCaller,
        limit: Limit = 50,
        cursor: CursorParam = None,
        state: State | None = None,
        product: Annotated[Slug | None, Query()] = None,
        language: Annotated[Language | None, Query()] = None,
        tag: Annotated[str | None, Query(max_length=50)] = None,
    ) -> Response:
        """Articles, the youngest first: for agents all, for others what is published."""
        agent = reader is not None and reader.has("agent")
        place = _PLACES.decode(cursor)
        async with database.reading() as connection:
            rows = await store.page(
                connection,
                newest=agent,
                public_only=not agent,
                products=reader.readable_products if reader is not None and agent else None,
                state=state,
                product=product,
                language=language,
                tag=tag,
                before=place[0] if place else None,
                limit=limit + 1,
            )
        return respond(_PLACES.page(rows, limit, position=lambda a: (a.id,), item=brief))

    @routes.get("/{id}", openapi_extra=TOKEN_OPTIONAL)
    async def read(id: UUID, reader: MaybeCaller) -> Response:
        """The newest version for agents, the published one for everybody else."""
        async with database.reading() as connection:
            article = await articles.read(connection, id, reader)
            if reader is None or not reader.has("agent"):
                return respond(shown(article), version=article.version)
            counts = await store.feedback_counts(connection, id)
        return respond(shown_to_agents(article, counts), version=article.version)

    @routes.patch("/{id}")
    async def edit(
        id: UUID, body: ArticleChange, agent: Agent, expected: RequiredVersion
    ) -> Response:
        """Write the next version. What is published stays until the new one is published too."""
        changes = body.model_dump(exclude_none=True)
        async with database.unit_of_work() as uow:
            seen = await articles.read(uow.connection, id, agent)
            check_version(expected, seen.version)
            content = replace(seen.content, **changes)
            article = await articles.edit(uow, id, content, agent, seen.version)
        return respond(shown(article), version=article.version)

    @routes.post("/{id}/publish")
    async def publish(id: UUID, lead: Lead, expected: ExpectedVersion) -> Response:
        """Let the newest version be found; an archived article comes back."""
        cause = request_cause("POST /v1/articles/{id}/publish")
        async with database.unit_of_work() as uow:
            article = await articles.publish(uow, id, lead, expected, cause)
        return respond(shown(article), version=article.version)

    @routes.post("/{id}/archive")
    async def archive(id: UUID, lead: Lead, expected: ExpectedVersion) -> Response:
        """Let an article be found no longer."""
        cause = request_cause("POST /v1/articles/{id}/archive")
        async with database.unit_of_work() as uow:
            article = await articles.archive(uow, id, lead, expected, cause)
        return respond(shown(article), version=article.version)

    @routes.post("/{id}/feedback", status_code=201)
    async def feedback(id: UUID, body: Feedback, once: RunOnce, reader: Caller) -> Response:
        """Say whether an article helped; the last word of each person counts."""

        async def effect(uow: UnitOfWork) -> Response:
            article = await articles.give_feedback(
                uow, id, reader, helpful=body.helpful, comment=body.comment
            )
            given = FeedbackGiven(
                article_id=article.id,
                version=article.version,
                helpful=body.helpful,
                comment=body.comment,
            )
            return respond(given, status=201)

        return await once(effect)

    return routes
