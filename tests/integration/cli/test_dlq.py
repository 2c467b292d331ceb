"""Dead letters are seen once, read whole and sent back to where they came from."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.dead_letter_pb2 import DeadLetter, Header
from waybill_chassis.events import dead_letters_topic
from waybill_cli import topics
from waybill_cli.dlq import letters


@dataclass
class Dead:
    """A service with one letter whose record came from a topic of the test's own."""

    service: str
    origin: str
    letter: DeadLetter
    post: Callable[..., Awaitable[None]]


@pytest.fixture
async def dead(kafka: str) -> AsyncIterator[Dead]:
    service = f"t{uuid4().hex[:10]}"
    origin = f"waybill.{service}.events.v1"
    made = topics.declared()
    mine = topics.Declared((service,), (), made.templates).for_services()
    await topics.ensure(kafka, mine)
    letter = DeadLetter(
        service=service,
        group=f"waybill-{service}",
        topic=origin,
        partition=4,
        offset=17,
        key=b"key \xff",
        value=b"\x00 not protobuf",
        headers=[
            Header(name="ce_id", value=b"abc"),
            Header(name="odd", value=b"\xff\xfe"),
            Header(name="empty", value=b""),
            Header(name="null"),
        ],
        reason="InvalidEvent: the value is no TicketOpened",
        error_type="InvalidEvent",
        attempts=3,
        event_type="waybill.intake.v1.TicketOpened",
        event_subject="0190-subject",
        failed_at=Timestamp(seconds=1_700_000_000),
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()

    async def post(message: DeadLetter | bytes) -> None:
        value = message if isinstance(message, bytes) else message.SerializeToString()
        await producer.send_and_wait(dead_letters_topic(service), value)

    await post(letter)
    yield Dead(service, origin, letter, post)
    await producer.stop()


async def records(kafka: str, topic: str, partition: int) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        found: list[Any] = []
        while len(found) < end:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


async def test_the_same_record_given_up_twice_is_one_letter(kafka: str, dead: Dead) -> None:
    again = DeadLetter()
    again.CopyFrom(dead.letter)
    await dead.post(again)
    other = DeadLetter()
    other.CopyFrom(dead.letter)
    other.offset = 18
    await dead.post(other)
    found = await letters.read(kafka, [dead.service])
    assert [letter.id for letter in found] == [f"{dead.service}-0", f"{dead.service}-2"]


async def test_a_replay_is_the_original_record_for_its_group_alone(kafka: str, dead: Dead) -> None:
    (letter,) = await letters.read(kafka, [dead.service])
    await letters.replay(kafka, [letter])
    (record,) = await records(kafka, dead.origin, 4)
    assert record.key == dead.letter.key
    assert record.value == dead.letter.value
    assert list(record.headers) == [
        ("ce_id", b"abc"),
        ("odd", b"\xff\xfe"),
        ("empty", b""),
        ("null", None),
        ("waybill-replay", f"waybill-{dead.service}".encode()),
    ]
    (noted,) = await letters.read(kafka, [dead.service])
    assert noted.id == letter.id
    assert noted.replayed == 1


async def test_a_record_that_fails_again_is_a_new_letter_with_one_replay_header(
    kafka: str, dead: Dead
) -> None:
    (letter,) = await letters.read(kafka, [dead.service])
    await letters.replay(kafka, [letter])
    failed = DeadLetter()
    failed.CopyFrom(dead.letter)
    failed.offset = 0
    failed.headers.append(Header(name="waybill-replay", value=b"waybill-x"))
    await dead.post(failed)
    _, second = sorted(await letters.read(kafka, [dead.service]), key=lambda it: it.id)
    assert second.replayed == 0
    await letters.replay(kafka, [second])
    record = (await records(kafka, dead.origin, 4))[-1]
    assert [n for n, _ in record.headers].count("waybill-replay") == 1


async def test_what_is_no_dead_letter_is_shown_and_stops_nothing(kafka: str, dead: Dead) -> None:
    await dead.post(b"\xff\xff")
    found = await letters.read(kafka, [dead.service])
    assert len(found) == 2
    assert "not a dead letter" in found[0].message.reason


async def test_a_partition_that_is_gone_does_not_stop_the_replay(kafka: str, dead: Dead) -> None:
    dead.letter.partition, dead.letter.offset = 99, 5
    await dead.post(dead.letter)
    found = await letters.read(kafka, [dead.service])
    await letters.replay(kafka, [letter for letter in found if letter.message.partition == 99])
    arrived = [r for p in range(6) for r in await records(kafka, dead.origin, p)]
    assert [record.key for record in arrived] == [dead.letter.key]


def test_the_commands_list_show_and_refuse_in_one_line(kafka: str, waybill) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka}
    listed = waybill("dlq", "list", "--service", "kb", "--json", **env)
    assert listed.code == 0, listed.err
    assert all(json.loads(line)["service"] for line in listed.out.splitlines())
    for wrong, said in (
        (["dlq", "list", "--service", "billing"], "no service 'billing'"),
        (["dlq", "show", "kb-999999"], "no dead letter kb-999999"),
        (["dlq", "replay"], "say which"),
        (["dlq", "replay", "--all", "kb-1"], "say which"),
    ):
        refused = waybill(*wrong, **env)
        assert refused.code == 1
        assert said in refused.err
        assert refused.err.count("\n") == 1
