"""The handler that intake is measured against: FastAPI and two inserts by raw asyncpg, no more.

    python bench/_bare.py PORT DATABASE_URL

No caller, no idempotency, no telemetry, no log, no people, no numbered events: what a ticket API
is before it promises anything. The two rows are of the size that intake writes.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID
from zlib import crc32

import asyncpg
import uuid_utils.compat
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

PAYLOAD_OVERHEAD = 200
"""What intake's event has beside title and description: ids, people, times."""

_TICKET = """
INSERT INTO tickets (
    id, number, product, type, priority, status, title, description, language, tags,
    custom_fields, channel, submitter_tier, order_refs, occurrences, created_at, updated_at,
    status_since, episode, episode_since, reopenings, links, set_by_person, opened_by_product,
    reminders, version)
VALUES ($1, 'WB-' || nextval('ticket_number'), $2, $3, $4, 'pending', $5, $6, $7, $8, $9, 'api',
        '', $10, 1, $11, $11, $11, 1, $11, 0, '[]', '{}', false, '{}', 1)
RETURNING number
"""
_OUTBOX = """
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, shard, topic, key, source,
                    sequence, occurred_at, content_type)
VALUES ($1, 'ticket', $2, 'waybill.intake.v1.TicketOpened', $3, $4, 'waybill.intake.events.v1',
        $2, '/waybill/intake', 1, $5, 'application/protobuf')
"""


class Submitter(BaseModel):
    """As intake has it."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254)
    name: str | None = Field(default=None, max_length=200)
    tier: str | None = Field(default=None, max_length=50)


class NewTicket(BaseModel):
    """The same fields as intake's."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["technical", "account", "order", "product_inquiry", "complaint", "suggestion"]
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(min_length=1, max_length=20_000)
    priority: Literal["low", "medium", "high", "urgent"] | None = None
    product: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)
    submitter: Submitter | None = None
    order_refs: list[str] | None = Field(default=None, max_length=50)
    tags: list[str] | None = Field(default=None, max_length=50)
    custom_fields: dict[str, Any] | None = None
    language: str | None = Field(default=None, max_length=35)
    external_ref: str | None = Field(default=None, max_length=200)
    attachment_ids: list[UUID] | None = Field(default=None, max_length=20)


class Ticket(BaseModel):
    """What is answered."""

    id: UUID
    number: str
    product: str
    type: str
    priority: str
    status: str
    title: str
    description: str
    language: str
    tags: list[str]
    custom_fields: dict[str, Any]
    submitter: Submitter | None
    order_refs: list[str]
    created_at: datetime
    updated_at: datetime
    version: int


def app_on(url: str) -> FastAPI:
    """The app, with a pool as large as intake's."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/tickets", status_code=201)
    async def create(body: NewTicket, request: Request) -> Ticket:
        id, now = uuid_utils.compat.uuid7(), datetime.now(UTC)
        tags, refs = body.tags or [], body.order_refs or []
        priority, language, product = body.priority or "medium", body.language or "", body.product
        payload = (body.title + body.description + " " * PAYLOAD_OVERHEAD).encode()
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            number = await connection.fetchval(
                _TICKET,
                id,
                product,
                body.type,
                priority,
                body.title,
                body.description,
                language,
                tags,
                "{}",
                refs,
                now,
            )
            await connection.execute(
                _OUTBOX,
                uuid_utils.compat.uuid7(),
                str(id),
                payload,
                crc32(id.bytes) % 16,
                now,
            )
        return Ticket(
            id=id,
            number=number,
            product=product or "",
            type=body.type,
            priority=priority,
            status="pending",
            title=body.title,
            description=body.description,
            language=language,
            tags=tags,
            custom_fields=body.custom_fields or {},
            submitter=body.submitter,
            order_refs=refs,
            created_at=now,
            updated_at=now,
            version=1,
        )

    return app


if __name__ == "__main__":
    uvicorn.run(
        app_on(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
