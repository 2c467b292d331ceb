"""The two doors that a product has: REST and its requests topic."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from waybill_chassis.events import JSON, headers, requests_topic

from waybill_cli import api
from waybill_cli.demo.plan import Ticket
from waybill_cli.errors import StackError
from waybill_cli.local import keys
from waybill_cli.local.settings import StackSettings

PRODUCT = "demo"
AS_PRODUCT = keys.Claims("demo-shop", ["service"], [PRODUCT], name="Demo shop")
_AT_ONCE = 32
_TRIES = 4

Send = Callable[[Ticket], Coroutine[Any, Any, None]]
"""Sends one ticket and writes down when; a refusal is written down too."""


@asynccontextmanager
async def open_doors(stack: StackSettings, tag: str) -> AsyncIterator[Send]:
    """Gives a function that sends a ticket through its door.

    Raises StackError when the broker is away.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.kafka, acks="all", enable_idempotence=True, linger_ms=2
    )
    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
    busy = asyncio.Semaphore(_AT_ONCE)
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise StackError(f"no broker at {stack.kafka}: {error}; run `waybill up`") from error
    try:
        async with httpx.AsyncClient(
            base_url=stack.api_url,
            headers=api.authorization(stack, AS_PRODUCT),
            limits=limits,
            timeout=30.0,
            trust_env=False,
        ) as client:

            async def send(ticket: Ticket) -> None:
                if ticket.door == "REST":
                    async with busy:
                        await _post(client, ticket, tag)
                else:
                    await _publish(producer, ticket, tag)

            yield send
    finally:
        await producer.stop()


def _body(ticket: Ticket, tag: str) -> dict[str, Any]:
    question = ticket.question
    return {
        "type": question.type,
        "title": question.title,
        "description": question.text,
        "submitter": {"email": ticket.email},
        "tags": [tag, *([question.category] if question.category else [])],
    }


async def _post(client: httpx.AsyncClient, ticket: Ticket, tag: str) -> None:
    ticket.sent_at = datetime.now(UTC)
    for attempt in range(_TRIES):
        try:
            answer = await client.post(
                "/v1/tickets",
                json={**_body(ticket, tag), "product": PRODUCT},
                # Sent again with the same key, it is still one ticket.
                headers={"idempotency-key": ticket.reference},
            )
        except httpx.HTTPError as error:
            said = f"{type(error).__name__} from {client.base_url}"
        else:
            if answer.is_success:
                ticket.id = answer.json()["id"]
                return
            said = api.detail(answer)
            if answer.status_code < 500:
                break
        await asyncio.sleep(0.2 * 2**attempt)
    ticket.error = said


async def _publish(producer: Any, ticket: Ticket, tag: str) -> None:
    body = {**_body(ticket, tag), "external_ref": ticket.reference}
    ticket.sent_at = datetime.now(UTC)
    try:
        await producer.send_and_wait(
            requests_topic(PRODUCT),
            json.dumps(body, ensure_ascii=False).encode(),
            key=ticket.reference.encode(),
            headers=headers(
                id=str(uuid4()),
                source="/demo/questions",
                type="waybill.intake.v1.TicketRequested",
                subject=ticket.reference,
                time=ticket.sent_at,
                content_type=JSON,
            ),
        )
    except KafkaError as error:
        ticket.error = f"the broker refused it: {error}"
