"""What all five processes have in common: how they are put together, and the order they start in.

A service's `__main__.py` calls `main`; its `bootstrap.py` has the function that builds its edges.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import asyncpg
import structlog
from fastapi import APIRouter
from google.protobuf.message import Message
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from waybill_chassis import asyncapi, inbox, process
from waybill_chassis.auth import TokenVerifier
from waybill_chassis.clock import Clock, SharedClock
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.health import Health
from waybill_chassis.http import HttpServer, create_app, idempotency
from waybill_chassis.migrate import migrate
from waybill_chassis.problems import Translate
from waybill_chassis.relay import Relay
from waybill_chassis.rpc import GrpcServer, Peers, Servicer
from waybill_chassis.settings import SERVICES, ServiceSettings, load
from waybill_chassis.telemetry.logs import configure as setup_logs
from waybill_chassis.telemetry.setup import setup

S = TypeVar("S", bound=ServiceSettings)

_PRUNE_SECONDS = 300.0
_LOOK_SECONDS = 5.0
"""How often a replica looks at the database's time."""

TAKES_IN = frozenset({"http", "rpc"})
"""Roles that work while the broker is away: what they accept waits in the outbox."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime(Generic[S]):
    """The adapters that every service has. What connects does so when it is first used."""

    settings: S
    clock: Clock
    database: Database
    health: Health
    verifier: TokenVerifier
    peers: Peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """What a service shows to the outside; parts of roles that a process lacks do not run."""

    title: str
    routers: Sequence[APIRouter] = ()
    servicers: Sequence[Servicer] = ()
    consumers: Sequence[Consumer] = ()
    timers: Sequence[process.Part] = ()
    """Everything that acts by itself: timers, senders, sweeps."""
    emits: Mapping[str, Sequence[type[Message]]]
    """What it tells, by topic."""
    translate: Translate | None = None
    body_limits: Mapping[str, int] | None = None


Build = Callable[[Runtime[S]], Edges]
Seed = Callable[[UnitOfWork], Awaitable[None]]


def runtime(settings: S, clock: Clock | None = None) -> Runtime[S]:
    """The adapters that `settings` describe; all replicas go by their database's time."""
    service = type(settings).service
    clock = clock or SharedClock()
    targets = {name: getattr(settings, f"{name}_grpc") for name in SERVICES}
    return Runtime(
        settings=settings,
        clock=clock,
        database=Database(
            settings.database_url,
            service=service,
            clock=clock,
            pool_size=settings.database_pool_size,
            defaults=settings,
        ),
        health=Health(),
        verifier=TokenVerifier(
            settings.jwks_url, issuer=settings.jwt_issuer, audience=settings.jwt_audience
        ),
        peers=Peers(targets, token_file=settings.service_token_file),
    )


def parts(rt: Runtime[S], edges: Edges) -> list[process.Part]:
    """The parts of the process in the order they start, by the roles it has."""
    settings, roles = rt.settings, rt.settings.roles
    prefix = f"WAYBILL_{type(settings).service.upper()}"
    found: list[process.Part] = [
        process.Closing("database", rt.database.close),
        rt.peers,
        process.Periodic("clock", _LOOK_SECONDS, rt.database.look_at_time),
        process.Periodic("prune", _PRUNE_SECONDS, lambda: prune(rt.database)),
    ]
    if "relay" in roles:
        relay = Relay(rt.database, bootstrap_servers=settings.kafka_bootstrap_servers)
        rt.health.add(relay.name, relay.ping, critical=not roles & TAKES_IN)
        found.append(relay)
    if "rpc" in roles and edges.servicers:
        found.append(
            GrpcServer(
                edges.servicers,
                host=settings.grpc_host,
                port=settings.grpc_port,
                verifier=rt.verifier,
                health=rt.health,
                translate=edges.translate,
                grace=settings.grace_seconds,
                variable=f"{prefix}_GRPC_PORT",
            )
        )
    if "timers" in roles:
        found.extend(edges.timers)
    if "consumer" in roles:
        found.extend(edges.consumers)
    # Always there, for the platform's questions; without the role http it has nothing else.
    app = create_app(
        title=edges.title,
        routers=edges.routers if "http" in roles else (),
        verifier=rt.verifier,
        health=rt.health,
        database=rt.database,
        asyncapi=lambda: events_document(type(settings).service, edges),
        translate=edges.translate,
        body_limits=edges.body_limits,
    )
    found.append(
        HttpServer(
            app,
            host=settings.http_host,
            port=settings.http_port,
            grace=settings.grace_seconds,
            variable=f"{prefix}_HTTP_PORT",
        )
    )
    return found


async def prune(database: Database) -> None:
    """Forget what nobody can ask for any more."""
    await idempotency.prune(database)
    await inbox.prune(database)


def events_document(service: str, edges: Edges) -> dict[str, Any]:
    """The AsyncAPI document of a service."""
    consumes: dict[str, Sequence[type[Message]]] = {}
    for consumer in edges.consumers:
        for topic in consumer.topics or [consumer.pattern or ""]:
            consumes[topic] = consumer.types
    return asyncapi.document(service, consumes=consumes, emits=edges.emits)


def add_checks(rt: Runtime[S], edges: Edges) -> None:
    """Readiness: the database always counts; the broker only where nothing is taken in."""
    roles = rt.settings.roles
    rt.health.add("database", rt.database.ping)
    if roles & TAKES_IN:
        rt.health.add("keys", rt.verifier.ping)
    if "consumer" in roles:
        for consumer in edges.consumers:
            rt.health.add(consumer.name, consumer.ping, critical=not roles & TAKES_IN)


async def serve(settings: S, build: Build[S]) -> int:
    """Run the process until it is told to stop; the exit code."""
    service = type(settings).service
    telemetry = setup(service, data_dir=settings.data_dir, log_level=settings.log_level)
    try:
        rt = runtime(settings)
    except (ValueError, ArgumentError) as error:
        sys.stderr.write(f"waybill-{service}: {error}\n")
        return 2
    log.info(
        "starting",
        roles=sorted(settings.roles),
        http=f"{settings.http_host}:{settings.http_port}",
        grpc=f"{settings.grpc_host}:{settings.grpc_port}",
        database=rt.database.engine.url.render_as_string(),
        kafka=settings.kafka_bootstrap_servers,
        data_dir=str(settings.data_dir),
    )
    edges = build(rt)
    add_checks(rt, edges)
    return await process.run(
        [telemetry, *parts(rt, edges)], health=rt.health, grace=settings.grace_seconds
    )


async def prepare(settings: ServiceSettings, migrations: Path, seed: Seed | None) -> None:
    """Migrate the database and, where asked for, put the demonstration into it."""
    setup_logs(type(settings).service, settings.log_level)
    await migrate(settings.database_url, migrations)
    if settings.demo and seed is not None:
        rt = runtime(settings)
        try:
            async with rt.database.unit_of_work() as uow:
                await seed(uow)
        finally:
            await rt.database.close()


def main(
    settings_type: type[S], build: Build[S], *, migrations: Path, seed: Seed | None = None
) -> NoReturn:
    """`python -m waybill_x` runs the service, `python -m waybill_x migrate` prepares its database.

    `seed` writes the demonstration (`WAYBILL_DEMO=1`) and must be harmless when repeated.
    """
    settings = load(settings_type)
    match sys.argv[1:]:
        case []:
            process.main(lambda: serve(settings, build))
        case ["migrate"]:
            try:
                asyncio.run(prepare(settings, migrations, seed))
            except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
                where = make_url(settings.database_url).render_as_string()
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                sys.stderr.write(f"cannot migrate {where}: {reason}\n")
                raise SystemExit(1) from None
            raise SystemExit(0)
        case _:
            sys.stderr.write(f"usage: python -m waybill_{settings_type.service} [migrate]\n")
            raise SystemExit(2)
