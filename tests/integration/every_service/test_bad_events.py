"""Whatever stands on a topic: handled or put aside with the reason, and nothing waits behind it."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from waybill.intake.v1.events_pb2 import RequestRejected, TicketOpened
from waybill.intake.v1.requests_pb2 import TicketRequested
from waybill.sla.v1.events_pb2 import ClockPaused
from waybill_chassis.events import requests_topic
from waybill_chassis.ids import new_id
from waybill_notify.domain import Outcome, Verdict
from waybill_notify.letters import NO_LINKS

SERVICES = ("intake", "routing", "sla", "notify", "kb")
BATCH = 40


def records(there: Any, messages: Any, consumer: Any) -> list[Any]:
    """A record for each thing that can be wrong with an event of each type.

    Every second one is about the ticket that is known, the others about one of their own.
    """
    found, into = [], set[str]()
    seconds = int(there.service.clock.now().timestamp())
    for kind in consumer.types:
        good = messages.whole(kind, seconds)
        for place, message in enumerate((kind(), good, *messages.wild(good, into))):
            id = there.ids["ticket"] if place % 2 else str(new_id())
            _say(message, good, id)
            found.append(there.record(message, id, len(found) + 2))
        subjects = ("x", "a b", str(new_id()), "\N{GRINNING FACE}")
        found += [there.record(good, subject, 7) for subject in subjects]
        sequences = (None, 0, 10**18 - 1)
        found += [there.record(good, str(new_id()), sequence) for sequence in sequences]
    return found


def _say(message: Any, good: Any, id: str) -> None:
    """Let the message be about this ticket, unless that is what is wrong with it."""
    for part, name in (
        ("ticket", "id"),
        ("assignment", "ticket_id"),
        ("clock", "ticket_id"),
        ("delivery", "ticket_id"),
    ):
        if part in message.DESCRIPTOR.fields_by_name and message.HasField(part):
            ours = getattr(message, part)
            if getattr(ours, name) == getattr(getattr(good, part), name):
                setattr(ours, name, id)
    if getattr(message, "ticket_id", "") and message.ticket_id == good.ticket_id:
        message.ticket_id = id


def sound(there: Any) -> Any:
    """An event that there is nothing wrong with."""
    id = str(new_id())
    if there.name == "intake":
        paused = ClockPaused()
        paused.clock.ticket_id = id
        return there.record(paused, id, 1)
    return there.record(there.opened(id), id, 1)


@pytest.mark.parametrize("name", SERVICES)
async def test_no_event_stops_a_consumer(name: str, scene: Any, messages: Any) -> None:
    """Each is handled or put aside at once, with what is wrong, and the next ones are handled."""
    async with scene(name) as there:
        consumer = there.consumer(ClockPaused if name == "intake" else TicketOpened)
        bad = records(there, messages, consumer)
        good = [sound(there) for _ in bad]
        for start in range(0, len(bad), BATCH):
            pairs = zip(bad[start : start + BATCH], good[start : start + BATCH], strict=True)
            async with asyncio.timeout(60):
                assert await there.read(consumer, *(one for pair in pairs for one in pair))
        letters = await there.dead_letters()
        print(name, len(bad), "bad,", len(letters), "put aside")
        unclear = {
            (one.event_type, one.reason[:300]): one.error_type
            for one in letters
            if one.error_type != "InvalidEvent"
        }
        assert not unclear, "\n".join(f"{error} {at}" for at, error in unclear.items())
        assert not {one.event_id for one in letters} & {_id(record) for record in good}
        handled = {row.event_id for row in await there.rows("SELECT event_id FROM inbox")}
        assert {_id(record) for record in good} <= handled
        if name == "sla":
            await all_deadlines_fire(there, good)
        if name == "notify":
            await all_mails_end(there)
        await all_routes_answer(there, {subject for one in bad if (subject := _subject(one))})


def _id(record: Any) -> str:
    return str(dict(record.headers)["ce_id"].decode())


def _subject(record: Any) -> str:
    return str(dict(record.headers).get("ce_subject", b"").decode())


TRACES = (
    (b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01", b"a=b,\x00=c,\xff"),
    (b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01", b"a\x00b"),
    (b"01-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01-\x00" + b"y" * 9000, b"a=b"),
    (b"00-" + b"\x00" * 32 + b"-" + b"cd" * 8 + b"-01", b""),
    (b"\xff", b"z" * 100_000),
)


@pytest.mark.parametrize("trace", TRACES)
async def test_a_senseless_trace_is_no_reason_to_stop(
    trace: tuple[bytes, bytes], scene: Any
) -> None:
    """Neither for what is sound nor for what is put aside or answered, where it is told of too."""
    more = list(zip(("traceparent", "tracestate"), trace, strict=True))
    async with scene("intake") as there, asyncio.timeout(30):
        paused = ClockPaused()
        facts = [there.record(paused, subject, 1) for subject in (str(new_id()), "x")]
        wanted = {
            "ce_type": b"waybill.intake.v1.TicketRequested",
            "content-type": b"application/json",
        }
        asked = [
            there.raw(
                topic=requests_topic("demo"),
                value=value,
                headers=[*wanted.items(), ("ce_id", str(new_id()).encode())],
            )
            for value in (json.dumps(GOOD["TicketRequested"]).encode(), b"{")
        ]
        for kind, records in ((ClockPaused, facts), (TicketRequested, asked)):
            traced = [replace(one, headers=[*one.headers, *more]) for one in records]
            assert await there.read(there.consumer(kind), *traced)
        assert len(await there.dead_letters()) == 1


async def all_deadlines_fire(there: Any, good: list[Any]) -> None:
    """No clock of a senseless ticket holds up those of the others."""
    there.service.clock.advance(timedelta(days=30))
    (timers,) = (part for part in there.service.edges.timers if part.name == "timers")
    timers._stream._progress = None
    async with asyncio.timeout(60):
        await timers.turn()
    rows = await there.rows("SELECT aggregateid FROM outbox WHERE type LIKE '%TargetBreached'")
    assert {_subject(record) for record in good} <= {row.aggregateid for row in rows}


async def all_mails_end(there: Any) -> None:
    """Each is written and sent, or dead with the reason; none comes again and again."""
    (sender,) = there.service.edges.timers
    sender._mail = Taking()
    sender._ask = nobody_answers
    await sender.start()
    try:
        async with asyncio.timeout(60):
            while await there.rows("SELECT 1 FROM deliveries WHERE state = 'pending' LIMIT 1"):
                await asyncio.sleep(0.05)
    finally:
        await sender.stop()


async def nobody_answers(_: Any) -> tuple[Any, None]:
    return NO_LINKS, None


class Taking:
    """A mail server that takes everything."""

    async def reach(self) -> None:
        """It is there."""

    async def send(self, mail: bytes, **_: Any) -> Outcome:
        message_from_bytes(mail, policy=default)
        return Outcome(Verdict.ACCEPTED, "250 kept")

    async def close(self) -> None:
        """Nothing to close."""


async def all_routes_answer(there: Any, subjects: set[str]) -> None:
    """What was taken in can be shown."""
    document = await there.ask("GET", "/openapi.json")
    paths = [path for path, methods in document["paths"].items() if "get" in methods]
    for path in paths:
        if "{" not in path and path != "/v1/search":
            taken = [one["name"] for one in document["paths"][path]["get"].get("parameters", ())]
            query = "?limit=200" if "limit" in taken else ""
            answer = await there.service.client.get(f"{path}{query}", headers=there.token("admin"))
            assert answer.is_success, f"{path}: {answer.text}"
    about = [path for path in paths if path.startswith("/v1/tickets/{id}")]
    for id in subjects & await known(there):
        for path in about:
            answer = await there.service.client.get(
                path.replace("{id}", id).replace("{message_id}", str(new_id())),
                headers=there.token("admin"),
            )
            assert answer.status_code in (200, 404, 503), f"{path} {id}: {answer.text}"


async def known(there: Any) -> set[str]:
    """The tickets that a service keeps."""
    table = {"sla": "clocks", "routing": "assignments"}.get(there.name, "tickets")
    return {str(row[0]) for row in await there.rows(f"SELECT * FROM {table}")}


GOOD = {
    "TicketRequested": {
        "type": "technical",
        "title": "It does not start",
        "description": "Since this morning.",
        "submitter": {"email": "kim@example.com", "name": "Kim", "tier": "gold"},
        "custom_fields": {"rack": 7},
        "tags": ["disk"],
    },
    "MessageRequested": {"external_ref": "a7", "body": "More.", "author": {"email": "k@b.org"}},
    "ResolutionRequested": {"external_ref": "a7", "comment": "It recovered."},
}
SENSELESS = (
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "a\x00b",
    "\ud800",
    "x" * 30_000,
    [],
    [None],
    ["x"] * 1000,
    {},
    {"x": {"x": {}}},
)
BYTES = (
    None,
    b"",
    b"{",
    b"\xff",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"title": 1e999}',
    b'{"title": ' + b"9" * 5000 + b"}",
)
FORMS = ("application/json", "application/protobuf", "application/cloudevents+json", "", "\xff")


def requests(there: Any, messages: Any) -> list[Any]:
    """Records of a product with one thing wrong in each, in all three forms."""

    def record(value: Any, kind: str = "", form: str = FORMS[0], **headers: bytes | None) -> Any:
        named = {"ce_id": str(new_id()).encode(), "ce_source": b"/demo", "ce_specversion": b"1.0"}
        named |= {"ce_type": f"waybill.intake.v1.{kind}".encode()} if kind else {}
        named |= {"content-type": form.encode("latin-1")} | headers
        pairs = [(name, header) for name, header in named.items()]
        return there.raw(topic=requests_topic("demo"), value=value, headers=pairs)

    def as_json(value: Any) -> bytes:
        return json.dumps(value).encode()

    found = [record(as_json(GOOD["TicketRequested"] | {"external_ref": "a7"}), "TicketRequested")]
    for kind, good in GOOD.items():
        for value in BYTES:
            found += [record(value, kind, form) for form in FORMS]
        whole = as_json(good)
        for name in ("ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "content-type"):
            for header in (None, b"", b"\xff", b"x" * 5000, b"a\x00b"):
                found.append(record(whole, kind, **{name: header}))
        for field in (*good, "surprise"):
            found += [record(as_json(good | {field: bad}), kind) for bad in SENSELESS]
            found.append(record(as_json({n: v for n, v in good.items() if n != field}), kind))
        envelope = {"specversion": "1.0", "id": "e", "source": "/demo", "data": good}
        envelope |= {"type": f"waybill.intake.v1.{kind}", "time": "2026-01-05T09:00:00Z"}
        for name in envelope:
            for bad in SENSELESS:
                id = str(new_id())
                told = envelope | {"id": id, name: bad}
                found.append(record(as_json(told), kind, FORMS[2], ce_id=id.encode()))
    seconds = int(there.service.clock.now().timestamp())
    for type in there.consumer(TicketRequested).types:
        good = messages.whole(type, seconds)
        for message in (type(), good, *messages.wild(good, set())):
            found.append(record(message.SerializeToString(), type.DESCRIPTOR.name, FORMS[1]))
    return found


async def test_every_request_of_a_product_is_done_or_answered(scene: Any, messages: Any) -> None:
    """Never a dead letter: what cannot be accepted is answered with the reason, and is no more."""
    async with scene("intake") as there:
        consumer = there.consumer(TicketRequested)
        bad = requests(there, messages)
        for start in range(0, len(bad), BATCH):
            async with asyncio.timeout(60):
                assert await there.read(consumer, *bad[start : start + BATCH])
        assert await there.dead_letters() == []
        rows = await there.rows("SELECT type, payload FROM outbox WHERE sequence IS NULL")
        rejected = [RequestRejected.FromString(row.payload) for row in rows]
        assert all(one.reason and one.product == "demo" for one in rejected)
        log = await there.rows("SELECT cause_id FROM ticket_log")
        done = {row.cause_id for row in log} | {one.request_id for one in rejected}
        places = {one.offset for one in rejected}
        silent = [one for one in bad if one.offset not in places and _id(one) not in done]
        # What is resolved already is not resolved again, and that is all there is to say.
        assert {_type(one) for one in silent} <= {"ResolutionRequested"}
        await all_routes_answer(there, await known(there))


def _type(record: Any) -> str:
    return str(dict(record.headers)["ce_type"].decode().rpartition(".")[2])
