"""A whole service in a test: its real migrations, its real routes, no process of its own."""

import importlib
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx

from waybill_chassis.clock import ManualClock
from waybill_chassis.http import HttpServer, create_app
from waybill_chassis.service import Edges, Runtime, runtime
from waybill_chassis.settings import SERVICES, ServiceSettings
from waybill_chassis.testing.tokens import Mint

S = TypeVar("S", bound=ServiceSettings)

AWAY = "127.0.0.1:1"
"""An address where nobody answers."""


def migrations_of(service: str) -> Path:
    """The folder of a service's migrations, beside its package."""
    spec = importlib.util.find_spec(f"waybill_{service}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1] / "migrations"


@dataclass(frozen=True, slots=True)
class TestedService(Generic[S]):
    """A service as a test drives it: `client` speaks HTTP to it, `rt` holds its adapters."""

    __test__ = False
    rt: Runtime[S]
    edges: Edges
    client: httpx.AsyncClient
    mint: Mint
    clock: ManualClock


@asynccontextmanager
async def tested_service(
    service: str,
    build: Callable[[Any], Edges],
    settings_type: type[S],
    *,
    database_url: str,
    mint: Mint,
    clock: ManualClock,
    broker: str = AWAY,  # noqa: PT028 - no test, though its name begins like one
    **settings: Any,
) -> AsyncIterator[TestedService[S]]:
    """The service over a migrated database; its peers are away unless `settings` name them."""
    peers: dict[str, Any] = {f"{name}_grpc": AWAY for name in SERVICES}
    rt = runtime(
        settings_type(
            **(
                {
                    "database_url": database_url,
                    "kafka_bootstrap_servers": broker,
                    "jwks_url": mint.jwks_url,
                }
                | peers
                | {"data_dir": mint.folder}
                | settings
            )
        ),
        clock,
    )
    edges = build(rt)
    app = create_app(
        title=edges.title,
        routers=edges.routers,
        verifier=rt.verifier,
        health=rt.health,
        database=rt.database,
        translate=edges.translate,
        body_limits=edges.body_limits,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=f"http://{service}"
    ) as client:
        try:
            yield TestedService(rt, edges, client, mint, clock)
        finally:
            await rt.peers.stop()
            await rt.database.close()


@asynccontextmanager
async def on_a_port(tested: TestedService[Any]) -> AsyncIterator[str]:
    """The service for programs that speak to an address, which is given."""
    app = create_app(
        title=tested.edges.title,
        routers=tested.edges.routers,
        verifier=tested.rt.verifier,
        health=tested.rt.health,
        database=tested.rt.database,
    )
    server = HttpServer(app, host="127.0.0.1", port=0, grace=1)
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop()


# pytest would take it for a test, by its name.
tested_service.__test__ = False  # type: ignore[attr-defined]
