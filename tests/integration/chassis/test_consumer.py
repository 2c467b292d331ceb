"""What the consumer does with what it reads, on a real database and a real broker."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from sqlalchemy import text
from waybill_chassis import inbox
from waybill_chassis.clock import ManualClock
from waybill_chassis.consumer import TooManyDeadLetters
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event, InvalidEvent, TraceContext, headers
from waybill_chassis.problems import Unavailable
from waybill_chassis.progress import StreamProgress
from waybill_chassis.testing.producing import producing, publish, publish_raw

MakeTopic = Callable[..., Awaitable[str]]
TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


async def tell(kafka: str, topic: str, *words: str, **attributes: Any) -> None:
    for word in words:
        await publish(
            kafka,
            topic,
            StringValue(value=word),
            **({"subject": "s", "source": "/waybill/test"} | attributes),
        )


def proper(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    """The headers of an event that can be read, some of them replaced."""
    known: dict[str, bytes | None] = dict(
        headers(
            id=str(uuid4()),
            source="/waybill/test",
            type="google.protobuf.StringValue",
            subject="s",
            time=datetime.now(UTC),
        )
    )
    known |= {name.replace("content_type", "content-type"): v for name, v in changes.items()}
    return [(name, value) for name, value in known.items() if value != b"gone"]


async def test_an_event_that_comes_again_has_its_effect_once(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Within one batch or later: the inbox knows it by its source and id."""
    topic = await new_topic()
    await tell(kafka, topic, "one", id="1")
    await tell(kafka, topic, "one", id="1")
    await tell(kafka, topic, "two", id="1", source="/waybill/other")
    async with effects.consumer(topics=[topic]):
        await effects.become(["one", "two"])
        await tell(kafka, topic, "one", id="1")
        await tell(kafka, topic, "three")
        await effects.become(["one", "two", "three"])


async def test_a_product_cannot_pass_off_a_message_as_anothers(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Outside of our own topics an id counts within its topic only."""
    topics = [await new_topic(), await new_topic()]
    for topic, word in zip(topics, ("mine", "yours"), strict=True):
        await tell(kafka, topic, word, id="1")
    async with effects.consumer(topics=topics):
        await effects.become(["mine", "yours"])


async def test_the_events_of_a_key_are_handled_in_their_order(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Over many batches."""
    topic = await new_topic()
    async with producing(kafka) as producer:
        sent = [
            await producer.send(
                topic, StringValue(value=f"{n}").SerializeToString(), headers=proper()
            )
            for n in range(500)
        ]
        for one in sent:
            await one
    async with effects.consumer(topics=[topic], max_batch=70):
        await effects.become([str(n) for n in range(500)])
    assert await effects.words() == [str(n) for n in range(500)]


async def test_poison_goes_to_the_dead_letters_and_those_behind_it_are_handled(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """The letter holds the record as it was: bytes that are no text, no key, a null header."""
    topic = await new_topic()
    await tell(kafka, topic, "before")
    odd = [*proper(), ("x-odd", b"\xff\x00"), ("x-null", None), ("x-odd", b"again")]
    await publish_raw(kafka, topic, value=b"\xff\xff\xff", key=None, headers=odd)
    await tell(kafka, topic, "after")
    async with effects.consumer(topics=[topic]):
        await effects.become(["before", "after"])
        await effects.until(lambda: any_letters(effects))
    (letter,) = await effects.letters()
    assert (letter.service, letter.group, letter.topic) == ("intake", effects.group, topic)
    assert (letter.partition, letter.offset, letter.attempts) == (0, 1, 1)
    assert letter.value == b"\xff\xff\xff"
    assert not letter.HasField("key")
    assert [(h.name, h.value if h.HasField("value") else None) for h in letter.headers] == odd
    assert letter.error_type == "InvalidEvent"
    assert "not a google.protobuf.StringValue" in letter.reason
    assert letter.event_type == "google.protobuf.StringValue"
    assert letter.event_subject == "s"
    assert letter.HasField("timestamp")
    assert letter.HasField("failed_at")


async def any_letters(effects: Any, count: int = 1) -> bool:
    return len(await effects.letters()) >= count


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ce_id": b"\xff"}, "ce_id is not UTF-8"),
        ({"ce_id": b"gone"}, "ce_id is missing"),
        ({"ce_id": b"a\x00b"}, "NUL"),
        ({"ce_source": b"s" * 5000}, "longer than 512"),
        ({"ce_type": b"gone"}, "ce_type is missing"),
        ({"ce_type": b"\xff"}, "ce_type is not UTF-8"),
        ({"ce_time": b"yesterday"}, "ce_time"),
        ({"ce_time": b"2026-01-01T00:00:00"}, "ce_time"),
        ({"ce_sequence": b"-1"}, "ce_sequence"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"content_type": b"text/plain"}, "content-type"),
        ({"ce_subject": b"s\x00"}, "ce_subject"),
    ],
)
async def test_headers_that_cannot_be_read_are_named(
    effects: Any, kafka: str, new_topic: MakeTopic, changes: dict[str, bytes], reason: str
) -> None:
    """The reason says which one."""
    topic = await new_topic()
    await publish_raw(kafka, topic, value=b"", headers=proper(**changes))
    async with effects.consumer(topics=[topic]):
        await effects.until(lambda: any_letters(effects))
    (letter,) = await effects.letters()
    assert reason in letter.reason
    assert await effects.words() == []


SEND_A_HEADER_NAME_THAT_IS_NO_TEXT = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class NoText(str):
    def encode(self, *_):
        return bytes([255])

async def main(kafka, topic):
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait(topic, b"", headers=[(NoText("x"), b"")])

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_record_that_the_client_cannot_read_blocks_nobody(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """A header name that is not UTF-8: its place goes to the dead letters, the others go on."""
    topic = await new_topic()
    await tell(kafka, topic, "before", "between")
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SEND_A_HEADER_NAME_THAT_IS_NO_TEXT,
        kafka,
        topic,
        env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"},
    )
    assert await sender.wait() == 0
    await tell(kafka, topic, "after")
    async with effects.consumer(topics=[topic]):
        await effects.become(["before", "between", "after"])
        await effects.until(lambda: any_letters(effects))
    (letter,) = await effects.letters()
    assert (letter.offset, letter.error_type) == (2, "InvalidEvent")
    assert "name of a header" in letter.reason


async def test_what_fails_alone_is_tried_and_put_aside_and_may_be_replayed(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """The inbox has not marked it: once the fault is mended, a replay has its effect, once."""
    topic, mended = await new_topic(), False

    async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        await effects.handle(uow, events)
        if not mended and any(event.message.value == "bad" for event in events):
            raise ValueError("no such thing")

    await tell(kafka, topic, "good")
    await tell(kafka, topic, "bad", id="bad", trace=TRACE)
    await tell(kafka, topic, "fine")
    async with effects.consumer(topics=[topic], handle=handle):
        await effects.become(["good", "fine"])
        await effects.until(lambda: any_letters(effects))
        (letter,) = await effects.letters()
        assert (letter.error_type, letter.reason, letter.attempts) == (
            "ValueError",
            "no such thing",
            3,
        )
        mended = True
        for group in (b"another", effects.group.encode(), effects.group.encode()):
            await tell(kafka, topic, "bad", id="bad", more=[("waybill-replay", group)])
        await effects.become(["good", "fine", "bad"])
    async with effects.database.reading() as connection:
        rows = await connection.execute(text("SELECT traceparent FROM outbox"))
        assert [row.traceparent for row in rows] == [TRACE.traceparent]


async def test_a_replay_for_one_group_is_skipped_by_the_others(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Even if they have never seen the event."""
    topic = await new_topic()
    await tell(kafka, topic, "bad", more=[("waybill-replay", b"another")])
    await tell(kafka, topic, "good")
    async with effects.consumer(topics=[topic]):
        await effects.become(["good"])


async def test_a_type_that_nobody_knows_is_skipped_and_acknowledged(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """It is neither handled nor put aside nor left behind."""
    topic = await new_topic()
    await publish(kafka, topic, Int32Value(value=1), subject="s", source="/waybill/test")
    progress = StreamProgress(kafka, topic, effects.group)
    mark = await progress.mark()
    assert mark == {0: 1}
    async with effects.consumer(topics=[topic]):
        await effects.until(lambda: progress.reached(mark))
    assert await effects.words() == []
    assert await effects.letters() == []
    await progress.stop()


async def test_a_decoder_of_the_services_own_is_asked_instead(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """It may skip a record, or say that it can never be handled."""
    topic = await new_topic()

    def decode(record: ConsumerRecord, trace: TraceContext) -> Event[Any] | None:
        if record.value == b"skip":
            return None
        try:
            word = json.loads(record.value)
        except ValueError as error:
            raise InvalidEvent("no JSON") from error
        return Event(
            id=word,
            source="s",
            type="word",
            subject=word,
            time=datetime.now(UTC),
            sequence=None,
            message=StringValue(value=word),
            trace=trace,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )

    for value in (b"skip", b"{", b'"word"'):
        await publish_raw(kafka, topic, value=value)
    async with effects.consumer(topics=[topic], decode=decode):
        await effects.become(["word"])
        await effects.until(lambda: any_letters(effects))
    assert [letter.reason for letter in await effects.letters()] == ["no JSON"]


async def test_it_stops_and_says_so_when_too_many_messages_fail(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """What it stopped at is neither put aside nor acknowledged, nor is what comes behind."""
    topic = await new_topic()
    for _ in range(25):
        await publish_raw(kafka, topic, value=b"\xff", headers=proper())
    await tell(kafka, topic, "behind")
    progress = StreamProgress(kafka, topic, effects.group)
    async with effects.consumer(topics=[topic], max_batch=5) as consumer:
        with pytest.raises(TooManyDeadLetters, match=f"20 of the last 20.*{topic}/0/19"):
            await consumer.wait()
    assert len(await effects.letters()) == 19
    assert await progress.reached({0: 15})
    assert not await progress.reached({0: 16})
    await progress.stop()


async def test_dependencies_that_are_away_hold_the_batch_back_for_as_long_as_it_takes(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """However often it is tried, nothing is put aside and nothing is skipped."""
    topic, tries = await new_topic(), 0

    async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        nonlocal tries
        tries += 1
        await effects.handle(uow, events)
        if tries <= 5:
            raise Unavailable("kb is away")

    await tell(kafka, topic, "one", "two")
    async with effects.consumer(topics=[topic], handle=handle):
        await effects.become(["one", "two"])
    assert tries > 5
    assert await effects.letters() == []


async def test_new_topics_of_a_pattern_are_read(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Those that were there before, and those that come while it runs."""
    family = f"test.{uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{family}.a", 1, 1)])
        await tell(kafka, f"{family}.a", "old")
        async with effects.consumer(pattern=rf"^{family}\.[a-z]$"):
            await effects.become(["old"])
            await admin.create_topics(
                [NewTopic(f"{family}.b", 1, 1), NewTopic(f"{family}.c1", 1, 1)]
            )
            await tell(kafka, f"{family}.c1", "stranger")
            await tell(kafka, f"{family}.b", "new")
            await effects.become(["old", "new"])
    finally:
        await admin.close()


async def test_progress_tells_whether_what_stood_in_the_topic_has_been_handled(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Over all partitions, for whoever reads them; a broker that is away is said to be so."""
    topic = await new_topic(3)
    progress = StreamProgress(kafka, topic, effects.group)
    assert await progress.reached(await progress.mark())
    for subject in ("a", "b", "c", "d"):
        await tell(kafka, topic, subject, subject=subject)
    mark = await progress.mark()
    assert sum(mark.values()) == 4
    assert not await progress.reached(mark)
    async with effects.consumer(topics=[topic]):
        await effects.until(lambda: progress.reached(mark))
    assert sorted(await effects.words()) == ["a", "b", "c", "d"]
    await progress.stop()
    with pytest.raises(Unavailable, match="does not say how far"):
        await StreamProgress("127.0.0.1:1", topic, effects.group).mark()


async def test_the_inbox_forgets_what_no_topic_holds(
    new_database: Database, clock: ManualClock
) -> None:
    """After eight days; not before."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(
            text(
                "INSERT INTO inbox SELECT 's', n::text,"
                " CAST(:now AS timestamptz) - n * interval '1 hour'"
                " FROM generate_series(1, 12000) n"
            ),
            {"now": uow.now},
        )
    assert await inbox.prune(new_database) == 12000 - 8 * 24
    clock.advance(timedelta(hours=1))
    assert await inbox.prune(new_database) == 1
