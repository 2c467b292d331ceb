"""Any of the five services with one ticket in it, and a look at all that it keeps."""

import dataclasses
import importlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.dead_letter_pb2 import DeadLetter
from waybill.intake.v1.events_pb2 import TicketOpened
from waybill.intake.v1.ticket_pb2 import Submitter, Ticket
from waybill_chassis.clock import ManualClock
from waybill_chassis.consumer import Consumer
from waybill_chassis.consumer.turn import Turn
from waybill_chassis.events import events_topic
from waybill_chassis.ids import new_id
from waybill_chassis.testing.producing import event_of
from waybill_chassis.testing.services import TestedService, tested_service
from waybill_chassis.testing.tokens import Mint

# Whoever asks for something is there, also when it is refused.
_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    " AND tablename NOT IN ('alembic_version', 'sightings') ORDER BY tablename"
)


KIM = "kim@example.com"
"""Whose ticket it is."""


@dataclass
class Scene:
    """A service, and the ids of what is in it by the paths' own words, without their s."""

    name: str
    service: TestedService[Any]
    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    _offsets: Any = dataclasses.field(default_factory=itertools.count)
    _look: Any = None

    def token(self, *roles: str, **options: Any) -> dict[str, str]:
        return self.service.mint.headers(*roles, **options)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """What an administrator gets, who is refused nothing."""
        options.setdefault("headers", self.token("admin", sub="root@example.com"))
        answer = await self.service.client.request(method, path, json=body, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def rows(self, statement: str, **parameters: Any) -> list[Any]:
        async with self.service.rt.database.reading() as connection:
            return list(await connection.execute(text(statement), parameters))

    async def kept(self) -> dict[str, Any]:
        """Everything in the database, as two numbers for each table."""
        if self._look is None:
            names = [row.tablename for row in await self.rows(_TABLES)]
            self._look = " UNION ALL ".join(
                f"SELECT '{name}', count(*), sum(hashtext(t::text)) FROM {name} t" for name in names
            )
        return {name: rest for name, *rest in await self.rows(self._look)}

    def consumer(self, kind: type[Message]) -> Consumer:
        """Who listens to such events."""
        return next(one for one in self.service.edges.consumers if kind in one.types)

    def record(
        self, message: Message, subject: str, sequence: int | None, **more: Any
    ) -> ConsumerRecord[Any, Any]:
        """An event as the record that stands on its owner's topic."""
        owner = message.DESCRIPTOR.full_name.split(".")[1]
        source = f"/waybill/{owner}"
        now = self.service.clock.now()
        value, headers = event_of(
            message, subject=subject, source=source, sequence=sequence, time=now
        )
        place = {"topic": events_topic(owner), "value": value, "headers": headers} | more
        return self.raw(**place, key=subject.encode())

    def raw(
        self, *, topic: str, value: bytes | None, headers: Any, key: bytes | None = None
    ) -> ConsumerRecord[Any, Any]:
        """Any record."""
        return ConsumerRecord(
            topic, 0, next(self._offsets), 0, 0, key, value, None, 0, 0, list(headers)
        )

    async def read(self, consumer: Consumer, *records: ConsumerRecord[Any, Any]) -> bool:
        """Have one batch read; whether all of it is settled."""

        async def keep_alive() -> None:
            """Nobody waits for a sign of life here."""

        settled: Sequence[Any] = await consumer._reader._settle(records, Turn(keep_alive))
        return len(settled) == len(records)

    async def dead_letters(self) -> list[DeadLetter]:
        """What was put aside."""
        rows = await self.rows(
            "SELECT payload FROM outbox WHERE topic LIKE '%dead-letters%' ORDER BY position"
        )
        return [DeadLetter.FromString(row.payload) for row in rows]

    def opened(self, id: str, **facts: Any) -> TicketOpened:
        """The opening of a ticket of Kim's."""
        ticket = Ticket(
            **{
                "id": id,
                "number": "WB-1",
                "product": "demo",
                "type": words.TICKET_TYPE_TECHNICAL,
                "priority": words.PRIORITY_MEDIUM,
                "status": words.STATUS_PENDING,
                "title": "It does not start",
                "description": "Since this morning.",
                "submitter": Submitter(id=str(new_id()), email=KIM, name="Kim"),
                "version": 1,
            }
            | facts
        )
        ticket.created_at.FromDatetime(self.service.clock.now())
        return TicketOpened(ticket=ticket)

    async def begin(self) -> None:
        """Put in what the service shall know."""
        id = self.ids["ticket"] = str(new_id())
        if self.name != "intake":
            opened = self.opened(id)
            assert await self.read(self.consumer(TicketOpened), self.record(opened, id, 1))
            assert await self.dead_letters() == []
        match self.name:
            case "intake":
                ticket = {"type": "technical", "title": "It", "description": "Does not start."}
                ticket |= {"product": "demo", "submitter": {"email": KIM}}
                file = {"file": ("it.txt", b"Hello")}
                made = await self.ask("POST", "/v1/attachments", files=file)
                self.ids["attachment"] = made["id"]
                ticket["attachment_ids"] = [made["id"]]
                made = await self.ask("POST", "/v1/tickets", ticket)
                self.ids |= {"ticket": made["id"], "submitter": made["submitter"]["id"]}
                note, path = {"body": "Hm.", "kind": "note"}, f"/v1/tickets/{made['id']}/messages"
                self.ids["note"] = (await self.ask("POST", path, note))["id"]
                view = {"name": "All", "filter": {}, "team": "support", "products": ["demo"]}
                self.ids["view"] = (await self.ask("POST", "/v1/views", view))["id"]
            case "routing":
                for name in ("ana", "ben"):
                    agent = {"email": f"{name}@example.com", "name": name, "presence": "offline"}
                    self.ids[name] = (await self.ask("POST", "/v1/agents", agent))["id"]
                self.ids["agent"] = self.ids["ana"]
            case "kb":
                article = {"title": "It", "summary": "Starts.", "body": "So.", "products": ["demo"]}
                made = await self.ask("POST", "/v1/articles", article)
                self.ids["article"] = made["id"]
                await self.ask("POST", f"/v1/articles/{made['id']}/publish")
                self.ids["draft"] = (await self.ask("POST", "/v1/articles", article))["id"]
                reply = {"name": "hi", "title": "Hi", "products": ["demo"]}
                reply["bodies"] = [{"language": "en", "text": "Hello"}]
                self.ids["quick-replie"] = (await self.ask("POST", "/v1/quick-replies", reply))[
                    "id"
                ]
            case "notify":
                made = await self.ask("GET", "/v1/deliveries")
                self.ids["deliverie"] = made["items"][0]["id"]

    def id_in(self, path: str) -> str:
        """The id that stands in such a path."""
        return self.ids.get(path.split("/")[2].removesuffix("s"), "")


@pytest.fixture
def scene(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> Callable[..., Any]:
    """Gives the service named with a ticket in it; its peers are away."""

    @asynccontextmanager
    async def make(name: str, **settings: Any) -> AsyncIterator[Scene]:
        build = importlib.import_module(f"waybill_{name}.bootstrap").build
        kind = importlib.import_module(f"waybill_{name}.settings").Settings
        async with tested_service(
            name,
            build,
            kind,
            database_url=await new_service_database(name),
            mint=mint,
            clock=clock,
            **({"reconcile_pause_seconds": 0.0} | settings),
        ) as service:
            found = Scene(name, service)
            await found.begin()
            yield found

    return make


_WORDS = ("", "x", "a\x00b", "\N{RIGHT-TO-LEFT OVERRIDE}", "y" * 50_000, str(new_id()))
_FARTHEST = (2**62, -(2**62), -62_135_596_800, 253_402_300_799)
_WILD: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.TYPE_STRING: _WORDS,
    FieldDescriptor.TYPE_BYTES: (b"", b"\xff"),
    FieldDescriptor.TYPE_BOOL: (True, False),
    FieldDescriptor.TYPE_ENUM: (0, 99, -1),
    FieldDescriptor.TYPE_INT32: (0, -1, -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (0, -1, -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_DOUBLE: (0.0, -1.0, 1e308, float("nan"), float("inf")),
}
"""What a field may hold by the contract's types, though it makes no sense."""


def whole(kind: type[Message], at: int) -> Any:
    """A message with something plausible in every field; times are `at` in seconds."""
    message: Any = kind()
    if kind.DESCRIPTOR.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        message.seconds = at if kind.DESCRIPTOR.name == "Timestamp" else 60
        return message
    if kind.DESCRIPTOR.file.package == "google.protobuf":
        return message
    for field in kind.DESCRIPTOR.fields:
        value: Any = None
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE:
                inner = field.message_type
                if not inner.GetOptions().map_entry:
                    value = whole(inner._concrete_class, at)
            case FieldDescriptor.TYPE_STRING:
                value = str(new_id()) if field.name.endswith("id") else "x"
            case FieldDescriptor.TYPE_BYTES:
                value = b"x"
            case _:
                value = 1
        if value is None:
            continue
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def wild(good: Any, into: set[str], path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Copies of a whole message with one field wrong in each.

    The kinds of message in `into` were gone through before, and are not again.
    """
    for field in _at(good, path).DESCRIPTOR.fields:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            yield _with(good, path, field, {"": "", "a\x00b": "a\x00b", "y" * 5000: "x"})
        elif inner is None:
            for value in _WILD[field.type]:
                yield _with(good, path, field, [value, value] if field.is_repeated else value)
        elif inner.full_name == "google.protobuf.Timestamp" and not field.is_repeated:
            for seconds in _FARTHEST:
                yield _with(good, (*path, field.name), inner.fields_by_name["seconds"], seconds)
            for nanos in (-1, 2**31 - 1):
                yield _with(good, (*path, field.name), inner.fields_by_name["nanos"], nanos)
        elif inner.full_name == "google.protobuf.Duration" and not field.is_repeated:
            for seconds in _FARTHEST:
                yield _with(good, (*path, field.name), inner.fields_by_name["seconds"], seconds)
        elif not field.is_repeated and inner.file.package != "google.protobuf":
            yield _with(good, path, field, inner._concrete_class())
            if inner.full_name not in into:
                into.add(inner.full_name)
                yield from wild(good, into, (*path, field.name))
        yield _with(good, path, field, None)


def _at(message: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        message = getattr(message, name)
    return message


def _with(good: Any, path: tuple[str, ...], field: Any, value: Any) -> Any:
    copy = type(good)()
    copy.CopyFrom(good)
    there = _at(copy, path)
    there.ClearField(field.name)
    if isinstance(value, dict):
        getattr(there, field.name).update(value)
    elif field.is_repeated and value:
        getattr(there, field.name).extend(value)
    elif isinstance(value, Message):
        getattr(there, field.name).CopyFrom(value)
    elif not field.is_repeated and value is not None:
        setattr(there, field.name, value)
    return copy


@pytest.fixture
def messages() -> SimpleNamespace:
    """Makes whole messages, and wild ones of them."""
    return SimpleNamespace(whole=whole, wild=wild)
