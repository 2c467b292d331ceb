"""What the relay promises, on a real database and a real broker."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewTopic as NewKafkaTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from waybill_chassis import relay as relay_module
from waybill_chassis.database import Database
from waybill_chassis.relay import Relay
from waybill_cli.errors import StackError
from waybill_cli.local import kafka as kafka_local

NewTopic = Callable[..., Awaitable[str]]
Record = ConsumerRecord[bytes, bytes]

RELAY_PROCESS = """
import asyncio, sys
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database
from waybill_chassis.relay import Relay

async def main(url, kafka):
    relay = Relay(Database(url, service="intake", clock=SystemClock()), bootstrap_servers=kafka)
    await relay.start()
    await relay.wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def relay_process(url: str, kafka: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", RELAY_PROCESS, url, kafka, stdout=asyncio.subprocess.DEVNULL
    )


async def end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.kill()
    await process.wait()


async def emit(database: Database, topic: str, subject: str, words: list[str]) -> None:
    async with database.unit_of_work() as uow:
        for word in words:
            uow.emit(StringValue(value=word), subject=subject, topic=topic)


async def read(kafka: str, topic: str, distinct: int, seconds: float = 60) -> list[Record]:
    """Read the topic until so many different events have been seen."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    records: list[Record] = []
    try:
        async with asyncio.timeout(seconds):
            while len({header(record, "ce_id") for record in records}) < distinct:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
    finally:
        await consumer.stop()
    return records


def header(record: Record, name: str) -> str:
    return dict(record.headers)[name].decode()


def out_of_order(records: list[Record]) -> list[str]:
    """The aggregates whose events, each counted when it was first seen, are not 1, 2, 3, ..."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    wrong = []
    for record in records:
        if header(record, "ce_id") in seen:
            continue
        seen.add(header(record, "ce_id"))
        subject, sequence = header(record, "ce_subject"), int(header(record, "ce_sequence"))
        if sequence != last.get(subject, 0) + 1:
            wrong.append(f"{subject}: {sequence} after {last.get(subject, 0)}")
        last[subject] = sequence
    return wrong


async def rows_in(database: Database, condition: str = "true") -> int:
    async with database.reading() as connection:
        found = await connection.execute(text(f"SELECT count(*) FROM outbox WHERE {condition}"))
        return int(found.scalar_one())


async def set_limit(kafka: str, topic: str, limit: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        changed = {"max.message.bytes": str(limit)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, changed)])
    finally:
        await admin.close()


async def emptied(database: Database) -> None:
    async with asyncio.timeout(30):
        while await rows_in(database):
            await asyncio.sleep(0.05)


async def write_with_delays(
    database: Database, topic: str, subjects: list[str], units: int
) -> None:
    """One of the writers: each unit holds its transaction open for a random while."""
    for unit in range(units):
        async with database.unit_of_work() as uow:
            uow.emit(StringValue(value=str(unit)), subject=random.choice(subjects), topic=topic)
            await uow.flush()
            await asyncio.sleep(random.uniform(0, 0.02))


async def test_what_was_committed_is_published_once_with_its_attributes(
    new_database: Database, kafka: str, new_topic: NewTopic
) -> None:
    """An event arrives under its key with the CloudEvents headers, and its row is gone."""
    topic, subject = await new_topic(), str(uuid4())
    relay = Relay(new_database, bootstrap_servers=kafka)
    await relay.start()
    await emit(new_database, topic, subject, ["one", "two"])
    records = await read(kafka, topic, 2)
    await emptied(new_database)
    await relay.stop()
    assert [StringValue.FromString(record.value or b"").value for record in records] == [
        "one",
        "two",
    ]
    assert {record.key for record in records} == {subject.encode()}
    first = dict(records[0].headers)
    assert first["ce_specversion"] == b"1.0"
    assert first["ce_source"] == b"/waybill/intake"
    assert first["ce_type"] == b"google.protobuf.StringValue"
    assert first["ce_sequence"] == b"1"
    assert first["content-type"] == b"application/protobuf"


async def test_rows_left_by_a_crash_are_swept_up(
    new_database: Database, kafka: str, new_topic: NewTopic
) -> None:
    """What was committed while no relay ran is published when one starts."""
    topic = await new_topic()
    await emit(new_database, topic, "left", ["behind"])
    relay = Relay(new_database, bootstrap_servers=kafka)
    await relay.start()
    assert len(await read(kafka, topic, 1)) == 1
    await relay.stop()


async def test_nothing_is_lost_or_out_of_order_while_relays_are_killed(
    new_database: Database, database_url: str, kafka: str, new_topic: NewTopic
) -> None:
    """Sixteen writers commit after random delays; two relays are killed and replaced at random."""
    topic, subjects = await new_topic(3), [str(uuid4()) for _ in range(24)]
    relays = [await relay_process(database_url, kafka) for _ in range(2)]

    async def kill() -> None:
        for _ in range(4):
            await asyncio.sleep(random.uniform(1.0, 2.0))
            await end(relays.pop(0))
            relays.append(await relay_process(database_url, kafka))

    try:
        writers = (write_with_delays(new_database, topic, subjects, 60) for _ in range(16))
        await asyncio.gather(kill(), *writers)
        records = await read(kafka, topic, 16 * 60)
    finally:
        for relay in relays:
            await end(relay)
    assert out_of_order(records) == []


async def test_a_relay_that_was_frozen_does_no_harm_when_it_wakes(
    new_database: Database, database_url: str, kafka: str, new_topic: NewTopic
) -> None:
    """Its shards go to another owner; woken late, it neither disorders nor deletes anything."""
    topic, subjects = await new_topic(3), [str(uuid4()) for _ in range(24)]
    frozen = await relay_process(database_url, kafka)
    other = await relay_process(database_url, kafka)
    try:
        writing = asyncio.gather(
            *(write_with_delays(new_database, topic, subjects, 300) for _ in range(4))
        )
        await read(kafka, topic, 50)
        assert frozen.pid is not None
        os.kill(frozen.pid, signal.SIGSTOP)
        await writing
        await emptied(new_database)
        os.kill(frozen.pid, signal.SIGCONT)
        await write_with_delays(new_database, topic, subjects, 50)
        records = await read(kafka, topic, 4 * 300 + 50)
    finally:
        await end(frozen)
        await end(other)
    assert out_of_order(records) == []


async def test_the_naive_cursor_loses_events_where_the_relay_does_not(
    new_database: Database, kafka: str, new_topic: NewTopic
) -> None:
    """The control: reading `position > last` skips rows that commit after a higher one."""
    subjects, seen, last, writing = [str(uuid4()) for _ in range(400)], set[int](), 0, True

    async def naive() -> None:
        nonlocal last
        while writing:
            async with new_database.reading() as connection:
                found = await connection.execute(
                    text("SELECT position FROM outbox WHERE position > :last ORDER BY 1"),
                    {"last": last},
                )
                for (position,) in found:
                    seen.add(position)
                    last = position
            await asyncio.sleep(0)

    reader = asyncio.create_task(naive())
    topic = await new_topic()
    await asyncio.gather(*(write_with_delays(new_database, topic, subjects, 20) for _ in range(8)))
    await asyncio.sleep(0.1)
    writing = False
    await reader
    assert len(seen) < 8 * 20
    relay = Relay(new_database, bootstrap_servers=kafka)
    await relay.start()
    assert out_of_order(await read(kafka, topic, 8 * 20)) == []
    await relay.stop()


async def test_a_row_that_the_broker_never_takes_is_parked_and_blocks_nobody(
    new_database: Database, kafka: str, new_topic: NewTopic
) -> None:
    """Too large for its topic: it stays, with its bytes, and goes out once it is put back."""
    topic, small = await new_topic(), await new_topic()
    await set_limit(kafka, topic, 2000)
    await emit(new_database, topic, "large", ["one", "x" * 5000, "three"])
    await emit(new_database, small, "other", ["beside"])
    relay = Relay(new_database, bootstrap_servers=kafka)
    await relay.start()
    try:
        assert [header(record, "ce_sequence") for record in await read(kafka, small, 1)] == ["1"]
        seen = await read(kafka, topic, 2)
        assert {header(record, "ce_sequence") for record in seen} == {"1", "3"}
        async with asyncio.timeout(30):
            while await rows_in(new_database, "shard >= 0"):
                await asyncio.sleep(0.05)
        assert await rows_in(new_database, "shard < 0 AND length(payload) > 5000") == 1

        await set_limit(kafka, topic, 100_000)
        async with new_database.unit_of_work() as uow:
            await uow.execute(text("UPDATE outbox SET shard = -1 - shard WHERE shard < 0"))
        assert len(await read(kafka, topic, 3)) >= 3
        await emptied(new_database)
    finally:
        await relay.stop()


async def test_a_topic_that_does_not_exist_holds_up_its_own_events_only(
    new_database: Database, kafka: str, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait until somebody creates it, and go out then."""
    monkeypatch.setattr(relay_module, "HOLD_SECONDS", 0.2)
    missing, present = f"test.{uuid4().hex}", await new_topic()
    await emit(new_database, missing, "early", ["one", "two"])
    await emit(new_database, present, "other", ["beside"])
    relay = Relay(new_database, bootstrap_servers=kafka)
    await relay.start()
    try:
        assert len(await read(kafka, present, 1)) == 1
        assert await rows_in(new_database, f"topic = '{missing}'") == 2
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.create_topics([NewKafkaTopic(missing, 1, 1)])
        await admin.close()
        assert out_of_order(await read(kafka, missing, 2)) == []
        await emptied(new_database)
    finally:
        await relay.stop()


async def test_a_broker_that_freezes_and_then_dies_is_waited_for(
    new_database: Database, tmp_path: Path
) -> None:
    """No attempt hangs for ever, nothing is lost or out of order, and readiness knows."""
    broker = await asyncio.to_thread(start_broker, tmp_path)
    topic = f"test.{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin.create_topics([NewKafkaTopic(topic, 1, 1)])
    await admin.close()
    relay = Relay(new_database, bootstrap_servers=broker.address)
    await relay.start()
    try:
        await emit(new_database, topic, "a", ["one"])
        await emptied(new_database)
        await relay.ping()

        os.kill(broker.process.pid, signal.SIGSTOP)
        await emit(new_database, topic, "a", ["two", "three"])
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionError):
                await relay.ping()
        os.kill(broker.process.pid, signal.SIGCONT)
        await emptied(new_database)

        os.kill(broker.process.pid, signal.SIGKILL)
        await emit(new_database, topic, "a", ["four", "five"])
        port = int(broker.address.rpartition(":")[2])
        broker = await asyncio.to_thread(start_broker, tmp_path, port)
        await emptied(new_database)
        records = await read(broker.address, topic, 5)
    finally:
        await relay.stop()
        await asyncio.to_thread(broker.stop)
    assert out_of_order(records) == []


def start_broker(folder: Path, port: int | None = None) -> kafka_local.Broker:
    try:
        return kafka_local.start(folder, port=port)
    except StackError as error:
        pytest.skip(f"no broker of our own to end: {error}")
