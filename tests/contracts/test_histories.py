"""Golden histories: whatever the order of delivery, every listener ends in the same state.

A history is a YAML file that needs nothing of Python: see proto/README.md. Each is read to every
service that it gives a state for: once in order; twice; in several legal interleavings; one event
a batch and all in one; and through the real consumer over a real broker.
"""

import asyncio
import base64
import importlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError
from google.protobuf import json_format
from waybill_chassis.consumer import Consumer
from waybill_chassis.consumer.decoding import Decoder
from waybill_chassis.consumer.turn import Turn
from waybill_chassis.consumer.work import Work
from waybill_chassis.events import events_topic, headers

FOLDER = Path(__file__).parent / "histories"
SERVICES = ("intake", "routing", "sla", "notify", "kb")
SHUFFLES = 4

Step = dict[str, Any]


@dataclass(frozen=True)
class History:
    """A history as its file tells it."""

    name: str
    steps: list[Step]
    reads: dict[str, list[str]]
    state: dict[str, dict[str, Any]]

    def for_service(self, service: str) -> list[Step]:
        """The steps in the order in which this service meets them."""
        if service not in self.reads:
            return self.steps
        by_name = {name_of(step): step for step in self.steps}
        return [by_name[name] for name in self.reads[service]]


def name_of(step: Step) -> str:
    """How `reads` names a step."""
    return f"clock {step['clock']}" if "clock" in step else step["id"]


def history(path: Path) -> History:
    """The history in a file."""
    told = yaml.safe_load(path.read_text("utf-8"))
    return History(path.stem, told["steps"], told.get("reads", {}), told["state"])


HISTORIES = [history(path) for path in sorted(FOLDER.glob("*.yaml"))]
CASES = [
    pytest.param(one, service, id=f"{one.name}-{service}")
    for one in HISTORIES
    for service in SERVICES
    if service in one.state
]


def owner_of(step: Step) -> str:
    """The service whose event it is; empty for the clock."""
    return str(step.get("source", "")).removeprefix("/waybill/")


def asked(step: Step) -> str | None:
    """The request that led to an event, if one did."""
    cause = step.get("data", {}).get("cause", {})
    return cause["id"] if cause.get("kind") == "CAUSE_KIND_REQUEST" else None


def heard(steps: list[Step], service: str) -> list[Step | list[Step]]:
    """What a service meets: others' events, the clock, and (as lists) what people ask of itself.

    What else it tells in the history is its own answer to those: nobody tells it.
    """
    found: list[Step | list[Step]] = []
    requests: dict[str, list[Step]] = {}
    for step in steps:
        if owner_of(step) != service:
            found.append(step)
        elif (request := asked(step)) in requests:
            requests[request].append(step)
        elif request is not None:
            found.append(requests.setdefault(request, [step]))
    return found


def interleavings(
    steps: list[Step], service: str, chance: random.Random
) -> list[Step | list[Step]]:
    """A legal order: the topics are not ordered against each other, a topic's keys are.

    The clock stays where it is. Among what people ask of the service itself nothing moves, and an
    event that it led to or that it answered stays on its side of that: it could not be else.
    """
    items = heard(steps, service)
    at = {name_of(step): place for place, step in enumerate(steps)}
    own = [step for step in steps if owner_of(step) == service]
    answers = {
        step["data"]["cause"]["id"]: at[name_of(step)]
        for step in own
        if "data" in step and not asked(step)
    }

    def causes(step: Step) -> Iterator[str]:
        known = {name_of(one): one for one in steps}
        cause = step.get("data", {}).get("cause", {}).get("id")
        while cause in known:
            yield cause
            cause = known[cause].get("data", {}).get("cause", {}).get("id")

    def must_follow(later: Step | list[Step], earlier: Step | list[Step]) -> bool:
        if isinstance(later, list) and isinstance(earlier, list):
            return True
        if isinstance(later, list):
            # The service had answered the earlier one before this was asked of it.
            return "clock" in earlier or name_of(earlier) in answers
        if isinstance(earlier, list):
            return (
                "clock" in later
                or any(name_of(step) in causes(later) for step in earlier)
                or (any(answers.get(name_of(later), -1) > at[name_of(step)] for step in earlier))
            )
        if "clock" in later or "clock" in earlier:
            return True
        same = (later["source"], later["subject"]) == (earlier["source"], earlier["subject"])
        return same or any(
            name_of(one) in causes(later) for one in own if name_of(earlier) in causes(one)
        )

    order: list[Step | list[Step]] = []
    left = list(range(len(items)))
    while left:
        free = [
            place
            for place in left
            if not any(
                must_follow(items[place], items[before]) for before in left if before < place
            )
        ]
        place = chance.choice(free)
        left.remove(place)
        order.append(items[place])
    return order


def record(step: Step, listener: Any, offset: int) -> ConsumerRecord[Any, Any]:
    """A step as the record that stands on the topic."""
    value = payload(step, listener)
    subject = listener.here(step["subject"])
    return ConsumerRecord(
        topic=events_topic(owner_of(step)),
        partition=0,
        offset=offset,
        timestamp=int(moment(step["time"]).timestamp() * 1000),
        timestamp_type=1,
        key=subject.encode(),
        value=value,
        checksum=None,
        serialized_key_size=len(subject),
        serialized_value_size=len(value),
        headers=envelope(step, listener),
    )


def envelope(step: Step, listener: Any) -> list[tuple[str, bytes]]:
    """The headers of an event."""
    return headers(
        id=listener.here(step["id"]),
        source=step["source"],
        type=step["type"],
        subject=listener.here(step["subject"]),
        time=moment(step["time"]),
        sequence=step["sequence"],
    )


def payload(step: Step, listener: Any) -> bytes:
    """The bytes of an event."""
    if "raw" in step:
        return base64.b64decode(step["raw"])
    kind = getattr(
        importlib.import_module(f"waybill.{owner_of(step)}.v1.events_pb2"),
        step["type"].rpartition(".")[2],
    )
    return json_format.Parse(listener.here(json.dumps(step["data"])), kind()).SerializeToString()


def moment(time: str) -> datetime:
    """A time as histories write it."""
    return datetime.fromisoformat(time)


Deliver = Callable[[list[Step]], Awaitable[None]]


async def run(
    items: list[Step | list[Step]],
    listener: Any,
    ways: Any,
    deliver: Deliver,
    *,
    batch: int,
    times: int = 1,
    again: bool = False,
) -> None:
    """Meet the items in order, events in batches of `batch`, each of them `times` in a row.

    `again`: what stands between two turns of the clock or own doings is read once more at the end.
    """
    clock = listener.service.clock
    waiting: list[Step] = []
    read: list[Step] = []

    async def flush() -> None:
        nonlocal waiting
        for start in range(0, len(waiting), batch):
            await deliver(waiting[start : start + batch])
        read.extend(waiting)
        waiting = []

    for item in items:
        if isinstance(item, list):
            await flush()
            clock.set(moment(item[0]["time"]))
            await ways.act(listener, item)
        elif "clock" in item:
            await flush()
            clock.set(moment(item["clock"]))
            await ways.strike(listener)
        else:
            clock.set(max(clock.now(), moment(item["time"])))
            waiting.extend([item] * times)
    await flush()
    if again:
        waiting = read[:]
        await flush()


def through_work(listener: Any) -> Deliver:
    """The consumer's own work on a batch: decoding, inbox, effect and dead letters."""
    group = f"waybill-{listener.name}"
    work = Work(
        listener.service.rt.database,
        group=group,
        handle=listener.handle,
        decoder=Decoder(group, listener.types),
    )

    async def keep_alive() -> None:
        """Nobody waits for a sign of life here."""

    async def deliver(steps: list[Step]) -> None:
        records = [record(step, listener, offset) for offset, step in enumerate(steps)]
        assert await work.settle(records, Turn(keep_alive)) == records

    return deliver


async def state_of(one: History, listener: Any, ways: Any) -> dict[str, Any]:
    """The state of every ticket that the history gives a state for."""
    return {ticket: await ways.state(listener, ticket) for ticket in one.state[listener.name]}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where the state is not as expected; what a history does not speak of may be anything."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name, value in expected.items()
            for line in differences(value, found.get(name, "(missing)"), f"{path}/{name}")
        ]
    return [] if expected == found else [f"{path}: {found!r} instead of {expected!r}"]


def lasting(found: dict[str, Any]) -> dict[str, Any]:
    """The state without its history: fewer steps may lead to the same end."""
    steps = ("version", "told", "feed")
    return {
        ticket: {name: fact for name, fact in facts.items() if name not in steps}
        for ticket, facts in found.items()
    }


def variants(one: History, service: str) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """The ways to read a history, the plainest first."""
    steps = one.for_service(service)
    plain = heard(steps, service)
    yield "one event a batch", plain, {"batch": 1}
    yield "all in one batch", plain, {"batch": 1000}
    yield "each event twice", plain, {"batch": 1, "times": 2}
    yield "each event twice in one batch", plain, {"batch": 1000, "times": 2}
    yield "everything read again", plain, {"batch": 2, "again": True}
    if service in one.reads:
        return
    for number in range(SHUFFLES):
        order = interleavings(steps, service, random.Random(f"{one.name} {service} {number}"))
        batch = (1, 1000, 2)[number % 3]
        yield f"interleaved {number}", order, {"batch": batch, "again": number % 2 == 1}


@pytest.mark.parametrize(("one", "service"), CASES)
async def test_a_history_ends_in_one_state(one: History, service: str, ways: Any) -> None:
    """However it is delivered, what the history says of the service holds, and all is the same."""
    reference: dict[str, Any] | None = None
    async with ways.listen(service) as listener:
        for name, items, how in variants(one, service):
            listener.begin()
            await run(items, listener, ways, through_work(listener), **how)
            found = await state_of(one, listener, ways)
            assert await listener.dead_letters() == [], name
            wrong = differences(one.state[service], found)
            assert not wrong, "\n".join([f"{name}:", *wrong, json.dumps(found, indent=1)])
            reference = reference or lasting(found)
            assert lasting(found) == reference, name


@pytest.mark.parametrize("service", SERVICES)
async def test_histories_over_the_real_broker_end_in_that_state(
    service: str, ways: Any, kafka: str
) -> None:
    """The same through the real consumer: topics, group, inbox, acknowledgements and all."""
    wrong = []
    async with ways.listen(service) as listener, over(kafka, listener) as deliver:
        for one in HISTORIES:
            if service in one.state:
                listener.begin()
                items = heard(one.for_service(service), service)
                await run(items, listener, ways, deliver, batch=1000, times=2)
                found = await state_of(one, listener, ways)
                wrong += [f"{one.name}{line}" for line in differences(one.state[service], found)]
        assert await listener.dead_letters() == []
    assert not wrong, "\n".join(wrong)


@asynccontextmanager
async def over(kafka: str, listener: Any) -> AsyncIterator[Deliver]:
    """Publish to topics of the test's own, and wait until the service's consumer has read it."""
    prefix = uuid.uuid4().hex
    topics = {owner: f"test.{prefix}.{events_topic(owner)}" for owner in SERVICES}
    group = f"test-{prefix}"
    consumer = Consumer(
        listener.service.rt.database,
        bootstrap_servers=kafka,
        group=group,
        handle=listener.handle,
        types=listener.types,
        topics=tuple(topics.values()),
    )
    published: dict[TopicPartition, int] = {}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await admin.start()
    await producer.start()

    async def deliver(steps: list[Step]) -> None:
        for step in steps:
            sent = await producer.send_and_wait(
                topics[owner_of(step)],
                payload(step, listener),
                key=listener.here(step["subject"]).encode(),
                headers=envelope(step, listener),
            )
            published[TopicPartition(sent.topic, sent.partition)] = sent.offset + 1
        async with asyncio.timeout(60):
            while not await acknowledged():
                await asyncio.sleep(0.02)

    async def acknowledged() -> bool:
        try:
            held = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # a fresh broker's first group is in the making
            return False
        return all(at in held and held[at].offset >= end for at, end in published.items())

    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in topics.values()])
        await consumer.start()
        yield deliver
    finally:
        await consumer.stop()
        await producer.stop()
        await admin.close()
