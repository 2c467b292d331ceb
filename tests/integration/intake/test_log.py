"""The processing log: every event of every service once, in the order it happened."""

import json
import random
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import ConsumerRecord
from google.protobuf import json_format
from sqlalchemy import text
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.consumer.decoding import Decoder
from waybill_chassis.consumer.turn import Turn
from waybill_chassis.consumer.work import Work
from waybill_chassis.events import TraceContext, events_topic, headers
from waybill_intake.consumers import facts

HISTORIES = sorted((Path(__file__).parents[2] / "contracts" / "histories").glob("*.yaml"))
KNOWN = {kind.DESCRIPTOR.full_name for kind in facts.HEARD}
TRACE = TraceContext(f"00-{'ab' * 16}-{'cd' * 8}-01")
IDS = "01980000-0000-7000-8000-"
RUNS = (1, 2, 1000)
"""How many events a batch has; each run plays the history in another order."""


def steps_of(path: Path) -> list[dict[str, Any]]:
    """What happens in a history."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["steps"]
    return found


def record(step: dict[str, Any], offset: int) -> ConsumerRecord[Any, Any]:
    """A step of a history as it stands on the topic of another service."""
    owner = step["source"].removeprefix("/waybill/")
    if "raw" in step:
        value = step["raw"].encode()
    else:
        module, _, name = step["type"].rpartition(".")
        kind = getattr(import_module(f"{module}.events_pb2"), name)
        value = json_format.ParseDict(step["data"], kind()).SerializeToString()
    pairs = headers(
        id=step["id"],
        source=step["source"],
        type=step["type"],
        subject=step["subject"],
        time=datetime.fromisoformat(step["time"]),
        sequence=step["sequence"],
        trace=TRACE,
    )
    topic = events_topic(owner)
    return ConsumerRecord(topic, 0, offset, 0, 0, None, value, None, 0, 0, pairs)


async def tickets_of(intake: Any, steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A real ticket for each that the history opens."""
    opened = [step["subject"] for step in steps if step.get("type", "").endswith("TicketOpened")]
    return {id: await intake.open(title=f"{id} {n}") for n, id in enumerate(opened)}


def heard(steps: list[dict[str, Any]], names: dict[str, str], run: int) -> list[dict[str, Any]]:
    """What others tell in the history, about the real tickets and with other ids in each run."""
    own = "/waybill/intake"
    told = json.dumps([step for step in steps if step.get("source", own) != own])
    for theirs, ours in names.items():
        told = told.replace(theirs, ours)
    found: list[dict[str, Any]] = json.loads(told.replace(IDS, f"{IDS[:9]}{run:04x}{IDS[13:]}"))
    return found


def batches(records: list[Any], size: int) -> Iterator[list[Any]]:
    """The records, so many at a time."""
    for start in range(0, len(records), size):
        yield records[start : start + size]


async def read_log(intake: Any, ticket: Any, query: str = "limit=3") -> list[dict[str, Any]]:
    """A ticket's whole log, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log?{query}{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_every_event_is_in_the_log_once_whatever_the_order(path: Path, intake: Any) -> None:
    """Each golden history in any order and twice: nothing missing, nothing twice, no empty line."""
    steps = steps_of(path)
    work = Work(
        intake.tested.rt.database,
        group="waybill-intake",
        handle=facts.handle,
        decoder=Decoder("waybill-intake", facts.HEARD),
    )

    async def keep_alive() -> None:
        """Nobody waits for a sign of life here."""

    for run, size in enumerate(RUNS):
        tickets = await tickets_of(intake, steps)
        told = heard(steps, {theirs: ours["id"] for theirs, ours in tickets.items()}, run + 1)
        played = told * 2
        random.Random(f"{path.stem} {run}").shuffle(played)
        records = [record(step, offset) for offset, step in enumerate(played)]
        for batch in batches(records, size):
            assert await work.settle(batch, Turn(keep_alive)) == batch
        for ticket in tickets.values():
            lines = await read_log(intake, ticket)
            own = [event.id for event in await intake.told(ticket)]
            assert [
                line["event_id"] for line in lines if line["source"] == "/waybill/intake"
            ] == own
            others = {
                (step["source"], step["id"])
                for step in told
                if step["subject"] == ticket["id"] and step["type"] in KNOWN
            }
            assert {
                (line["source"], line["event_id"])
                for line in lines
                if line["source"] != "/waybill/intake"
            } == others
            assert len(lines) == len(own) + len(others)
            times = [line["occurred_at"] for line in lines]
            assert times == sorted(times)
            for line in lines:
                assert line["summary"].strip(), line
                assert line["actor"]["kind"], line
            assert {line["trace_id"] for line in lines if line["source"] != "/waybill/intake"} <= {
                "ab" * 16
            }
    async with intake.tested.rt.database.reading() as connection:
        rows = await connection.execute(
            text("SELECT count(*) FROM outbox WHERE topic LIKE '%dead-letters%'")
        )
        assert rows.scalar() == 0


async def test_the_log_can_be_asked_for_a_service_or_a_kind_of_event(
    intake: Any, event: Any
) -> None:
    """By the service's name and the event's, whole or short; the pages go on through the filter."""
    ticket = await intake.open()
    kinds = [routing.TriageSuggested, sla.ClockStarted, sla.ClockPaused, sla.ClockStarted]
    for number, kind in enumerate(kinds):
        await intake.hear(event(ticket, kind(), number + 1))

    async def types(query: str) -> list[str]:
        lines = await read_log(intake, ticket, f"limit=1&{query}")
        return [line["type"].rpartition(".")[2] for line in lines]

    assert await types("source=sla") == ["ClockStarted", "ClockPaused", "ClockStarted"]
    assert await types("type=ClockStarted") == ["ClockStarted"] * 2
    assert await types("type=waybill.sla.v1.ClockPaused") == ["ClockPaused"]
    assert await types("source=intake&type=ClockStarted") == []
    await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log?source=mars", status=422)


async def test_the_log_says_what_came_of_an_event(intake: Any, event: Any) -> None:
    """Of a suggestion for each value, whether it was applied and why not."""
    ticket = await intake.open()
    message = routing.TriageSuggested(
        ticket_id=ticket["id"],
        suggestions=[
            routing.TriageSuggestion(priority=4, confidence=0.92),
            routing.TriageSuggestion(language="en", confidence=0.3),
            routing.TriageSuggestion(type=3, confidence=1),
        ],
    )
    message.actor.id = "routing"
    await intake.hear(event(ticket, message))
    lines = await read_log(intake, ticket)
    assert lines[1]["summary"] == (
        "suggests priority urgent (92% sure); language en (30% sure); type order (100% sure): "
        "urgent applied, en not sure enough, order set by a person"
    )
    assert lines[2]["summary"] == "priority: medium -> urgent"
    assert lines[2]["cause"]["id"] == lines[1]["event_id"]
