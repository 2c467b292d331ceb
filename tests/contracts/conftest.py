"""How the golden histories are read to a service, and what is then known of its state.

For each service: what handles its events, what a history's own doings of that service are in its
own words, and a small function that tells its state.
"""

import importlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from waybill_chassis.clock import ManualClock
from waybill_chassis.consumer import Handle
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint

IDS = "01980000-0000-7000-8000-"
"""How every id in a history begins."""

Step = dict[str, Any]
Facts = dict[str, Any]


@dataclass
class Listener:
    """A service that hears histories, each time with other ids: `run` is a part of them.

    `ids` are the service's own ids for tickets of the history, where it chose them itself.
    """

    name: str
    service: TestedService[Any]
    handle: Handle
    types: tuple[Any, ...]
    run: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Hear a history as if nothing had been heard before."""
        self.run += 1
        self.ids = {}

    def here(self, text: str) -> str:
        """What the history says, with the ids of this run."""
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return text.replace(IDS, f"{IDS[:9]}{self.run:04x}{IDS[13:]}")

    def there(self, id: str) -> str:
        """The history's id for one of this run."""
        theirs = {ours: theirs for theirs, ours in self.ids.items()}
        return theirs.get(id) or id.replace(f"{IDS[:9]}{self.run:04x}", IDS[:13])

    async def get(self, path: str) -> Any:
        """What the service answers to an administrator; None for 404."""
        answer = await self.service.client.get(path, headers=self.service.mint.headers("admin"))
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    async def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of the service's own tables."""
        async with self.service.rt.database.reading() as connection:
            return list(await connection.execute(text(statement), parameters))

    async def told(self, ticket: str) -> dict[str, int]:
        """How often the service told what of a ticket on its own topic."""
        rows = await self.rows(
            "SELECT type FROM outbox WHERE aggregateid = :id AND topic = :topic",
            id=ticket,
            topic=f"waybill.{self.name}.events.v1",
        )
        return dict(Counter(row.type.rpartition(".")[2] for row in rows))

    async def dead_letters(self) -> list[str]:
        """Why messages were put aside, which in a history none ever is."""
        from waybill.common.v1.dead_letter_pb2 import DeadLetter

        rows = await self.rows("SELECT payload FROM outbox WHERE topic LIKE '%dead-letters%'")
        return [DeadLetter.FromString(row.payload).reason for row in rows]


def _cut(facts: Mapping[str, Any], names: str) -> Facts:
    return {name: facts[name] for name in names.split()}


async def _sla(listener: Listener, ticket: str) -> Facts:
    ticket = listener.here(ticket)
    clock = await listener.get(f"/v1/tickets/{ticket}/sla")
    if clock is None:
        return {"known": False}
    facts = _cut(clock, "state priority started_at paused_since escalation_level")
    for kind in ("response", "resolution"):
        facts[kind] = _cut(clock[kind], "state due_at stopped_at breached_at")
    facts["ledger"] = [_cut(part, "kind status started_at") for part in clock["ledger"]]
    return facts | {"told": await listener.told(ticket)}


async def _routing(listener: Listener, ticket: str) -> Facts:
    ticket = listener.here(ticket)
    held = await listener.get(f"/v1/tickets/{ticket}/assignment")
    if held is None:
        return {"known": False}
    # Who is the least loaded hangs on what else there is: only a claim names somebody.
    agent = held["agent"] and (held["agent"]["name"] if "claim" in held["why"] else "somebody")
    placed = held["state"] in ("queued", "assigned")
    return _cut(held, "state version") | {"agent": agent, "team": held["team"] if placed else None}


async def _notify(listener: Listener, ticket: str) -> Facts:
    ticket = listener.here(ticket)
    from waybill.common.v1.ticket_enums_pb2 import Status
    from waybill.intake.v1.ticket_pb2 import Ticket

    deliveries = await listener.get(f"/v1/deliveries?limit=200&ticket_id={ticket}")
    feed = await listener.rows(
        "SELECT payload FROM outbox WHERE aggregateid = :id AND topic LIKE 'waybill.feed.%'",
        id=ticket,
    )
    (picture,) = await listener.rows(
        "SELECT ticket, assignee_name FROM tickets WHERE id = CAST(:id AS uuid)", id=ticket
    )
    status = Status.Name(Ticket.FromString(picture.ticket).status)
    return {
        "mails": sorted(item["template"] for item in deliveries["items"]),
        "feed": sorted(json.loads(bytes(row.payload))["what"] for row in feed),
        "status": status.removeprefix("STATUS_").lower(),
        "assignee": picture.assignee_name or None,
    }


async def _kb(listener: Listener, ticket: str) -> Facts:
    from waybill.kb.v1 import events_pb2

    ticket = listener.here(ticket)
    (row,) = await listener.rows(
        "SELECT sequence, product, erased FROM tickets WHERE id = CAST(:id AS uuid)", id=ticket
    )
    facts: Facts = {**row._mapping, "duplicate_of": [], "repeated": None}
    for told in await listener.rows(
        "SELECT type, payload FROM outbox WHERE aggregateid = :id ORDER BY position", id=ticket
    ):
        message = getattr(events_pb2, told.type.rpartition(".")[2]).FromString(told.payload)
        if hasattr(message, "candidates"):
            facts["duplicate_of"] = [listener.there(one.ticket_id) for one in message.candidates]
        else:
            facts["repeated"] = message.count
    return facts


async def _intake(listener: Listener, ticket: str) -> Facts:
    id = listener.here(ticket)
    seen = await listener.get(f"/v1/tickets/{id}")
    if seen is None:
        return {"known": False}
    messages = await listener.get(f"/v1/tickets/{id}/messages")
    return _cut(
        seen, "status team sla escalation_level resolved_at first_response_at close_reason version"
    ) | {
        "assignee": seen["assignee"] and seen["assignee"]["name"],
        "merged_into": seen["merged_into"] and listener.there(seen["merged_into"]),
        "messages": len(messages["items"]),
        "told": await listener.told(id),
    }


async def _seed_routing(listener: Listener) -> None:
    demo = importlib.import_module("waybill_routing.demo")
    async with listener.service.rt.database.unit_of_work() as uow:
        await demo.seed(uow)


async def _seed_nothing(listener: Listener) -> None:
    """Nothing has to be there before."""


def _as(listener: Listener, actor: Mapping[str, str]) -> dict[str, str]:
    role = "agent" if actor["kind"] == "ACTOR_KIND_AGENT" else "submitter"
    return listener.service.mint.headers(role, sub=actor["id"])


async def _act_routing(listener: Listener, steps: list[Step]) -> None:
    """A claim is the only thing that histories let people do in routing."""
    (step,) = steps
    if not step["data"]["cause"]["type"].endswith("/claim"):
        return
    id = listener.here(step["subject"])

    async def intake(*_: Any, **__: Any) -> Any:
        """Intake knows the ticket: it was just created there."""
        from waybill.intake.v1.service_pb2 import GetTicketResponse
        from waybill.intake.v1.ticket_pb2 import Ticket

        return GetTicketResponse(ticket=Ticket(id=id, product="demo", status=1), sequence=1)

    listener.service.rt.peers.intake.ask = intake
    answer = await listener.service.client.post(
        f"/v1/tickets/{id}/assignment/claim", headers=_as(listener, step["data"]["actor"])
    )
    assert answer.status_code == 200, answer.text


async def _act_intake(listener: Listener, steps: list[Step]) -> None:
    """What people asked of intake, asked again: one request for all that it led to."""
    first = steps[0]
    data = first["data"]
    method, _, path = data["cause"]["type"].partition(" ")
    path = path.replace("{id}", listener.here(first["subject"]))
    ticket = data["ticket"]
    word = {name: str(value).rpartition("_")[2].lower() for name, value in data.items()}
    if path == "/v1/tickets":
        body: Facts = {
            "type": ticket["type"].removeprefix("TICKET_TYPE_").lower(),
            "priority": ticket["priority"].removeprefix("PRIORITY_").lower(),
            **_cut(ticket, "title description language product"),
        }
    elif path.endswith("/messages"):
        message = data["message"]
        kind = message["kind"].removeprefix("MESSAGE_KIND_").lower()
        body = {"kind": kind, "body": message["body"]}
    elif path.endswith("/transitions"):
        to = data["to"].removeprefix("STATUS_").lower()
        body = {"to": to} | ({"comment": data["comment"]} if word.get("comment") else {})
    elif path.endswith("/merge"):
        body = {"into": listener.here(ticket["merged_into"])}
    elif first["type"].endswith("TicketEdited"):
        body = {change["field"]: change["after"] for change in data["changes"]}
    else:
        raise AssertionError(f"nobody knows how to ask intake for {path}")
    headers = _as(listener, data["actor"]) | {"If-Match": "*"}
    answer = await listener.service.client.request(method, path, json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    if path == "/v1/tickets":
        listener.ids[first["subject"]] = answer.json()["id"]


async def _act_not(listener: Listener, steps: list[Step]) -> None:
    """What this service does in histories it does by itself."""


def _handle(name: str, rt: Any) -> Handle:
    """What the service's consumer of events calls with a batch."""
    consumers = importlib.import_module(f"waybill_{name}.consumers")
    match name:
        case "intake":
            return importlib.import_module("waybill_intake.consumers.facts").handle
        case "notify":
            how = {
                "feed_products": rt.settings.feed_products,
                "mail_domain": rt.settings.mail_domain,
            }
            return partial(consumers.handle, **how)
        case "kb":
            return partial(consumers.handle, windows=rt.settings.windows())
        case _:
            return consumers.handle


def _types(service: TestedService[Any]) -> tuple[Any, ...]:
    """The events that its consumer knows; a consumer with a pattern reads products' requests."""
    (consumer,) = (consumer for consumer in service.edges.consumers if consumer.topics)
    return consumer.types


STATE = {"intake": _intake, "routing": _routing, "sla": _sla, "notify": _notify, "kb": _kb}
SEED = {"routing": _seed_routing}
ACT = {"routing": _act_routing, "intake": _act_intake}


async def strike(listener: Listener) -> None:
    """What sla does when the clock has moved; the others have no timers that a history needs."""
    if listener.name != "sla":
        return
    timers = importlib.import_module("waybill_sla.timers")
    rt = listener.service.rt
    await timers.Timers(rt.database).turn()


@dataclass(frozen=True)
class Ways:
    """What a test does with a listener."""

    listen: Callable[[str], Any]
    state: Callable[[Listener, str], Awaitable[Facts]]
    act: Callable[[Listener, list[Step]], Awaitable[None]]
    strike: Callable[[Listener], Awaitable[None]]


@pytest.fixture
def ways(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> Ways:
    """Gives fresh listeners, and what can be done with them."""

    @asynccontextmanager
    async def listen(name: str) -> AsyncIterator[Listener]:
        bootstrap = importlib.import_module(f"waybill_{name}.bootstrap")
        settings = importlib.import_module(f"waybill_{name}.settings")
        url = await new_service_database(name)
        async with tested_service(
            name, bootstrap.build, settings.Settings, database_url=url, mint=mint, clock=clock
        ) as service:
            handle = _handle(name, service.rt)
            listener = Listener(name, service, handle, _types(service))
            await SEED.get(name, _seed_nothing)(listener)
            yield listener

    return Ways(
        listen=listen,
        state=lambda listener, ticket: STATE[listener.name](listener, ticket),
        act=lambda listener, steps: ACT.get(listener.name, _act_not)(listener, steps),
        strike=strike,
    )
