"""What the platform asks a process: is it alive, is it ready, how does it do, what is there."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.responses import HTMLResponse, Response

from waybill_chassis.health import Health
from waybill_chassis.http import docs
from waybill_chassis.http.rendering import respond
from waybill_chassis.problems import NotFound

AsyncApi = Callable[[], Mapping[str, Any] | str]


def add_operations(app: FastAPI, health: Health, asyncapi: AsyncApi | None) -> None:
    """Add the routes that every service has on its own port."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> Response:
        return respond({"alive": True})

    @router.get("/readyz")
    async def readyz() -> Response:
        report = await health.ready()
        return respond(
            report.document(),
            status=200 if report.ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(
            await asyncio.to_thread(encode, REGISTRY),
            headers={"Content-Type": content_type},
        )

    @router.get("/docs")
    async def api_page() -> Response:
        return HTMLResponse(docs.openapi_page(app.openapi(), events=asyncapi is not None))

    def events() -> Mapping[str, Any]:
        if asyncapi is None:
            raise NotFound("This service neither takes nor tells events.")
        document = asyncapi()
        found: Mapping[str, Any] = json.loads(document) if isinstance(document, str) else document
        return found

    @router.get("/docs/events")
    async def events_page() -> Response:
        return HTMLResponse(docs.asyncapi_page(events()))

    @router.get("/docs/events.json")
    async def events_document() -> Response:
        return respond(events())

    app.include_router(router)
