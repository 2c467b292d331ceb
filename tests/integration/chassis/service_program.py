"""A small service with every kind of edge, run as the real ones are: `python service_program.py`.

It takes words over HTTP, tells of them on TOPIC, reads them back and counts what it has read.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from starlette.responses import Response
from waybill.sla.v1.service_pb2 import GetClockRequest, GetClockResponse
from waybill.sla.v1.service_pb2_grpc import (
    ClockServiceServicer,
    add_ClockServiceServicer_to_server,
)
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event
from waybill_chassis.http import Caller, RequestModel, RunOnce, respond
from waybill_chassis.rpc import Servicer, authorize
from waybill_chassis.service import Edges, Runtime, main
from waybill_chassis.settings import ServiceSettings

TOPIC = os.environ.get("TEST_TOPIC", "test.nowhere")


class Settings(ServiceSettings):
    service: ClassVar[str] = "sla"


class Word(RequestModel):
    word: str


class Clocks(ClockServiceServicer):
    async def GetClock(self, request: GetClockRequest, context: Any) -> GetClockResponse:  # noqa: N802
        authorize("service")
        return GetClockResponse(sequence=7)


async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
    await uow.execute(
        text("INSERT INTO word (word) SELECT unnest(CAST(:words AS text[]))"),
        {"words": [event.message.value for event in events]},
    )


def router(rt: Runtime[Settings]) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/words", status_code=201)
    async def say(body: Word, caller: Caller, once: RunOnce) -> Response:
        async def effect(uow: UnitOfWork) -> Response:
            uow.emit(StringValue(value=body.word), subject=body.word, topic=TOPIC)
            return respond(body, status=201)

        return await once(effect)

    @routes.get("/v1/words")
    async def heard(caller: Caller) -> Response:
        async with rt.database.reading() as connection:
            rows = await connection.execute(text("SELECT word FROM word ORDER BY word"))
            return respond({"items": [row.word for row in rows]})

    return routes


def build(rt: Runtime[Settings]) -> Edges:
    return Edges(
        title="Words",
        routers=[router(rt)],
        servicers=[
            Servicer(add_ClockServiceServicer_to_server, Clocks(), "waybill.sla.v1.ClockService")
        ],
        consumers=[
            Consumer(
                rt.database,
                bootstrap_servers=rt.settings.kafka_bootstrap_servers,
                group=f"group-{TOPIC}",
                handle=handle,
                types=(StringValue,),
                topics=(TOPIC,),
            )
        ],
        emits={TOPIC: [StringValue]},
    )


if __name__ == "__main__":
    main(Settings, build, migrations=Path("nowhere"))
