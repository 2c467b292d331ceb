"""Makes the HTTP edge of a service."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

from waybill_chassis.auth import TokenVerifier
from waybill_chassis.database import Database
from waybill_chassis.health import Health
from waybill_chassis.http.direct import Direct
from waybill_chassis.http.guard import DEFAULT_LIMIT, Guard
from waybill_chassis.http.handlers import add_handlers
from waybill_chassis.http.observing import Observed
from waybill_chassis.http.operations import AsyncApi, add_operations
from waybill_chassis.http.state import Equipment, equip
from waybill_chassis.problems import CONTENT_TYPE, Problem

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def create_app(
    *,
    title: str,
    routers: Sequence[APIRouter],
    verifier: TokenVerifier,
    health: Health,
    database: Database | None = None,
    asyncapi: AsyncApi | None = None,
    translate: Mapping[type[Exception], Callable[[Any], Problem]] | None = None,
    body_limit: int = DEFAULT_LIMIT,
    body_limits: Mapping[str, int] | None = None,
    description: str = "",
    version: str = "1",
) -> FastAPI:
    """An app with everything that all services share.

    `database` is what `RunOnce` writes to; `asyncapi` gives the document of the service's topics;
    `translate` says which problem an error of the domain is; `body_limit` is in bytes and
    `body_limits` sets others by path prefix.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={
            "default": {
                "description": "A problem document (RFC 9457)",
                "content": {CONTENT_TYPE: {"schema": _PROBLEM_SCHEMA}},
            }
        },
        # Ours are the same and lighter.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    equip(
        app,
        Equipment(
            verifier=verifier,
            health=health,
            database=database,
            translate=translate or {},
        ),
    )
    add_handlers(app)
    app.add_middleware(Direct, owner=app)
    app.add_middleware(Guard, limit=body_limit, limits=body_limits or {}, translate=translate or {})
    app.add_middleware(Observed)
    add_operations(app, health, asyncapi)
    for router in routers:
        app.include_router(router)
    return app
