"""A process with a few routes, for tests that end it: prints its port and what it begins.

Arguments: database URL, JWKS URL, port, seconds of grace.
"""

import asyncio
import os
import signal
import sys

from fastapi import APIRouter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from sqlalchemy import text
from starlette.responses import Response
from waybill_chassis import process
from waybill_chassis.auth import TokenVerifier
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.health import Health
from waybill_chassis.http import Caller, HttpServer, RequestModel, RunOnce, create_app, respond
from waybill_chassis.process import Closing, run
from waybill_chassis.telemetry import logs
from waybill_chassis.telemetry.setup import use


class Thing(RequestModel):
    title: str
    die: bool = False


class Announced(HttpServer):
    async def start(self) -> None:
        await super().start()
        say(f"port {self.port}")


class Printed(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        attributes = span.attributes or {}
        trace_id = f"{span.context.trace_id:032x}" if span.context else "?"
        parent = f"{span.parent.span_id:016x}" if span.parent else "none"
        status = attributes.get("http.response.status_code")
        say(f"span {span.name} {trace_id} {parent} {status} {span.status.status_code.name}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def routes(health: Health) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/things", status_code=201)
    async def create(body: Thing, caller: Caller, once: RunOnce) -> Response:
        async def effect(uow: UnitOfWork) -> Response:
            await uow.execute(text("INSERT INTO thing (title) VALUES (:title)"), dict(body))
            if body.die:
                os.kill(os.getpid(), signal.SIGKILL)
            return respond(body, status=201)

        return await once(effect)

    @router.get("/until-stop")
    async def until_stop() -> Response:
        say("begun")
        await health.stopping.wait()
        return respond({"ready": (await health.ready()).ready})

    @router.get("/bug/{number}")
    async def bug(number: int) -> Response:
        raise RuntimeError("password=hunter2")

    @router.get("/endless")
    async def endless() -> Response:
        say("begun")
        await asyncio.Event().wait()
        return respond(None)

    return router


async def serve(database_url: str, jwks_url: str, port: str, grace: str) -> int:
    # The default rendering of a traceback fills the pipe that nobody reads meanwhile.
    logs.configure("intake", "info")
    use(TracerProvider(), Printed())
    health = Health()
    database = Database(database_url, service="intake", clock=SystemClock())
    app = create_app(
        title="Things",
        routers=[routes(health)],
        verifier=TokenVerifier(jwks_url, issuer="waybill", audience="waybill"),
        health=health,
        database=database,
    )
    server = Announced(app, host="127.0.0.1", port=int(port), grace=float(grace))
    parts = [Closing("database", database.close), server]
    return await run(parts, health=health, grace=float(grace))


if __name__ == "__main__":
    process.main(lambda: serve(*sys.argv[1:]))
