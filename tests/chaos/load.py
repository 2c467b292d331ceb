"""What people, agents and a product do while processes die: they try again until they are heard."""

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from waybill_chassis.events import JSON, headers, requests_topic
from waybill_cli.local import keys
from waybill_cli.local.settings import StackSettings

PRODUCT = "demo"
AGENTS = ("ana", "ben", "chloe", "deepak", "elif", "femi")
PATIENCE = 400.0
"""For how many seconds a client tries the same request again."""
TIMEOUT = 5.0
_AT_ONCE = 16

# What becomes of a ticket, by its number; the doors take turns as the kinds do.
KINDS = (
    ("REST", "contested"),
    ("Kafka", "hurried"),
    ("REST", "awaited"),
    ("Kafka", "recovered"),
    ("REST", "contested"),
    ("Kafka", "plain"),
    ("REST", "hurried"),
    ("Kafka", "hurried"),
    ("REST", "contested"),
    ("Kafka", "plain"),
    ("REST", "awaited"),
    ("REST", "plain"),
)
HURRIED = "complaint"
"""The type of the tickets whose targets are seconds away."""


@dataclass(slots=True)
class Ticket:
    """One ticket as its client knows it. `mark` is a word that only its title has."""

    number: int
    door: str
    kind: str
    mark: str
    ce_id: str = field(default_factory=lambda: str(uuid4()))
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    ids: set[str] = field(default_factory=set)
    accepted: bool = False
    published: Counter[str] = field(default_factory=Counter)
    """How often each `ce_id` was put on the requests topic."""
    claims: dict[str, httpx.Response] = field(default_factory=dict)
    posted: list[str] = field(default_factory=list)
    """The bodies of messages that were answered with 201, or published."""
    given_up: list[str] = field(default_factory=list)

    @property
    def reference(self) -> str | None:
        """What the product calls it; every second one of a product has such a name."""
        named = self.kind == "recovered" or (self.door == "Kafka" and self.number % 2)
        return f"ref-{self.mark}" if named else None

    def body(self) -> dict[str, Any]:
        """The ticket as it is asked for, no text or submitter like another's."""
        return {
            "type": HURRIED if self.kind == "hurried" else "account",
            "title": f"{self.mark} does not work",
            "description": f"Since this morning {self.mark} fails for everybody here.",
            "submitter": {"email": f"{self.mark}@example.org"},
            "tags": ["chaos", self.kind],
            **({"external_ref": self.reference} if self.reference else {}),
        }


def plan(count: int, run: str) -> list[Ticket]:
    """So many tickets of all kinds."""
    return [
        Ticket(number, *KINDS[number % len(KINDS)], mark=f"{run}x{number:04d}")
        for number in range(count)
    ]


class Clients:
    """Each person a client of their own, so that they really come at the same moment."""

    def __init__(self, stack: StackSettings) -> None:
        product = keys.Claims("demo-shop", ["service"], [PRODUCT], name="Demo shop")
        who = {name: keys.Claims(f"{name}@example.com", ["agent"]) for name in AGENTS}
        self._clients = {
            name: httpx.AsyncClient(
                base_url=stack.gateway_url,
                headers={
                    "authorization": f"Bearer {keys.mint(stack.keys_dir, claims, _TTL)}",
                },
                # Whoever waits does so below: a pool that is waited for leaks when waits time out.
                limits=httpx.Limits(max_connections=None),
                timeout=TIMEOUT,
                trust_env=False,
            )
            for name, claims in {**who, "shop": product}.items()
        }
        self._busy = {name: asyncio.Semaphore(_AT_ONCE) for name in self._clients}
        self.troubles: Counter[str] = Counter()
        """Answers and errors that made a client try again."""

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def post(
        self, who: str, path: str, body: Any, more: Mapping[str, str]
    ) -> httpx.Response | None:
        """The answer of whoever is there in the end; None when patience ran out."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.2
        while time.monotonic() < deadline:
            try:
                async with self._busy[who]:
                    answer = await self._clients[who].post(path, json=body, headers=dict(more))
            except httpx.TransportError as error:
                self.troubles[type(error).__name__] += 1
            else:
                busy = answer.status_code == 409 and "retry-after" in answer.headers
                if answer.status_code < 500 and not busy and answer.status_code != 429:
                    return answer
                self.troubles[str(answer.status_code)] += 1
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 2.0)
        return None


_TTL = timedelta(hours=4)


class Load:
    """Opens the tickets at an even pace and does with each what its kind asks for."""

    def __init__(self, stack: StackSettings, tickets: list[Ticket], seconds: float) -> None:
        self._stack = stack
        self._tickets = tickets
        self._pause = seconds / len(tickets)
        self.clients = Clients(stack)

    async def run(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._stack.kafka, acks="all", enable_idempotence=True
        )
        await producer.start()
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for number, ticket in enumerate(self._tickets):
                    await asyncio.sleep(began + number * self._pause - time.monotonic())
                    group.create_task(self._live(ticket, producer))
        finally:
            await self.clients.close()
            await producer.stop()

    async def _live(self, ticket: Ticket, producer: Any) -> None:
        if ticket.door == "Kafka":
            await self._publish(ticket, producer)
        elif (id := await self._open(ticket)) is not None:
            if ticket.kind == "contested":
                await self._contest(ticket, id)
            elif ticket.kind == "awaited":
                await self._await_user(ticket, id)

    async def _open(self, ticket: Ticket) -> str | None:
        more = {
            "idempotency-key": f"open-{ticket.mark}",
            "traceparent": f"00-{ticket.trace_id}-{secrets.token_hex(8)}-01",
        }
        body = {**ticket.body(), "product": PRODUCT}
        # Every fifth is asked for twice at once, as an impatient client does.
        times = 2 if ticket.number % 5 == 0 else 1
        answers = await asyncio.gather(
            *[self.clients.post("shop", "/v1/tickets", body, more) for _ in range(times)]
        )
        for answer in answers:
            if answer is not None and answer.status_code == 201:
                ticket.accepted = True
                ticket.ids.add(answer.json()["id"])
            else:
                ticket.given_up.append(f"opening: {answer and answer.text}")
        return min(ticket.ids, default=None)

    async def _contest(self, ticket: Ticket, id: str) -> None:
        """All agents want it at once; whoever gets it answers and solves it."""

        async def claim(agent: str) -> None:
            answer = await self.clients.post(agent, f"/v1/tickets/{id}/assignment/claim", {}, {})
            if answer is None:
                ticket.given_up.append(f"{agent}'s claim")
            else:
                ticket.claims[agent] = answer

        await asyncio.gather(*[claim(agent) for agent in AGENTS])
        winners = [agent for agent, answer in ticket.claims.items() if answer.status_code == 200]
        if winners:
            await self._reply(ticket, id, winners[0])
            await self._move(ticket, id, winners[0], "resolved")

    async def _await_user(self, ticket: Ticket, id: str) -> None:
        """An agent asks something, and nobody ever answers."""
        agent = AGENTS[ticket.number % len(AGENTS)]
        await self._reply(ticket, id, agent)
        await self._move(ticket, id, agent, "awaiting_user")

    async def _reply(self, ticket: Ticket, id: str, agent: str) -> None:
        body = f"{agent} answers {ticket.mark}"
        answer = await self.clients.post(
            agent,
            f"/v1/tickets/{id}/messages",
            {"kind": "reply", "body": body},
            {"idempotency-key": f"reply-{ticket.mark}"},
        )
        if answer is not None and answer.status_code == 201:
            ticket.posted.append(body)
        else:
            ticket.given_up.append(f"reply: {answer and answer.text}")

    async def _move(self, ticket: Ticket, id: str, agent: str, to: str) -> None:
        answer = await self.clients.post(
            agent,
            f"/v1/tickets/{id}/transitions",
            {"to": to},
            {"idempotency-key": f"{to}-{ticket.mark}"},
        )
        if answer is None or answer.status_code != 200:
            ticket.given_up.append(f"{to}: {answer and answer.text}")

    async def _publish(self, ticket: Ticket, producer: Any) -> None:
        """Publish the opening, for some twice; for a recovered one more words and its end."""
        again = 2 if ticket.number % 3 == 0 else 1
        for _ in range(again):
            await self._record(ticket, producer, "TicketRequested", ticket.ce_id, ticket.body())
        ticket.accepted = bool(ticket.published[ticket.ce_id])
        if ticket.kind != "recovered":
            return
        body = f"{ticket.mark} is still so"
        message = {"external_ref": ticket.reference, "body": body}
        id = str(uuid4())
        for _ in range(2):
            await self._record(ticket, producer, "MessageRequested", id, message)
        if ticket.published[id]:
            ticket.posted.append(body)
        end = {"external_ref": ticket.reference, "comment": "It recovered."}
        await self._record(ticket, producer, "ResolutionRequested", str(uuid4()), end)

    async def _record(
        self, ticket: Ticket, producer: Any, name: str, id: str, body: dict[str, Any]
    ) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                await producer.send_and_wait(
                    requests_topic(PRODUCT),
                    json.dumps(body).encode(),
                    key=ticket.mark.encode(),
                    headers=headers(
                        id=id,
                        source="/demo/chaos",
                        type=f"waybill.intake.v1.{name}",
                        subject=ticket.mark,
                        time=datetime.now(UTC),
                        content_type=JSON,
                    ),
                )
            except KafkaError as error:
                self.clients.troubles[type(error).__name__] += 1
                await asyncio.sleep(0.5)
            else:
                ticket.published[id] += 1
                return
        ticket.given_up.append(f"publishing {name}")
