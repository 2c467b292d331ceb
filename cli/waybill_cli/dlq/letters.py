"""The dead-letter topics: read whole, and the original records published again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError
from waybill.common.v1.dead_letter_pb2 import DeadLetter
from waybill_chassis.events import dead_letters_topic

from waybill_cli import topics
from waybill_cli.errors import StackError

REPLAY_HEADER = "waybill-replay"
"""On a record that is sent again: the one group that it is meant for."""
REPLAYED_HEADER = "waybill-replayed"
"""On a note in the dead-letter topic: the id of the letter that was sent again."""

# Beyond a wrapped record of the largest size that topics.yaml allows.
_MAX_BYTES = 4 * 1024 * 1024
_TIMEOUT_MS = 15_000


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. Its id is its service and its place in the topic, such as `sla-17`."""

    id: str
    service: str
    message: DeadLetter
    replayed: int = 0

    @property
    def failed_at(self) -> datetime:
        """When it was given up, in local time."""
        return self.message.failed_at.ToDatetime().astimezone()


async def read(bootstrap_servers: str, services: Sequence[str]) -> list[Letter]:
    """The dead letters of these services, oldest first; each original record once.

    Raises StackError when the broker is away.
    """
    names = {dead_letters_topic(service): service for service in services}
    counts = await topics.partitions(bootstrap_servers, list(names))
    if not counts:
        return []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        request_timeout_ms=_TIMEOUT_MS,
        max_partition_fetch_bytes=_MAX_BYTES,
    )
    try:
        await consumer.start()
        letters = []
        for name, count in counts.items():
            records = await _everything(consumer, [TopicPartition(name, p) for p in range(count)])
            letters += _letters(names[name], records)
    except KafkaError as error:
        raise StackError(f"dead letters on {bootstrap_servers}: {error}") from error
    finally:
        await consumer.stop()
    return sorted(letters, key=lambda letter: letter.message.failed_at.ToNanoseconds())


async def replay(bootstrap_servers: str, letters: Iterable[Letter]) -> None:
    """Publish the original records again, for the groups that failed on them, and note it.

    The note comes after the record: a crash between the two leaves a letter that looks unsent, and
    sending twice does no harm. Raises StackError when the broker is away or the topic is gone.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=_TIMEOUT_MS,
        max_request_size=_MAX_BYTES,
    )
    try:
        await producer.start()
        for letter in letters:
            await _publish(producer, letter)
            await producer.send_and_wait(
                dead_letters_topic(letter.service),
                key=_optional(letter.message, "key"),
                headers=[(REPLAYED_HEADER, letter.id.encode())],
            )
    except KafkaError as error:
        raise StackError(f"replay on {bootstrap_servers}: {type(error).__name__}") from error
    finally:
        await producer.stop()


async def _publish(producer: Any, letter: Letter) -> None:
    message = letter.message
    partitions = await producer.partitions_for(message.topic)
    headers = [
        (header.name, _optional(header, "value"))
        for header in message.headers
        # One that failed a second time carries the header of its first replay.
        if header.name != REPLAY_HEADER
    ]
    await producer.send_and_wait(
        message.topic,
        value=_optional(message, "value"),
        key=_optional(message, "key"),
        headers=[*headers, (REPLAY_HEADER, message.group.encode())],
        partition=message.partition if message.partition in partitions else None,
    )


async def _everything(consumer: Any, partitions: Sequence[TopicPartition]) -> list[Any]:
    """All records up to the present ends."""
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    await consumer.seek_to_beginning(*partitions)
    found = []
    while any([await consumer.position(p) < ends[p] for p in partitions]):
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            found += records
    return found


def _letters(service: str, records: Iterable[Any]) -> list[Letter]:
    first: dict[tuple[str, str, int, int], Letter] = {}
    ids: dict[str, tuple[str, str, int, int]] = {}
    for record in records:
        noted = [value for name, value in record.headers if name == REPLAYED_HEADER]
        if noted:
            origin = ids.get(noted[0].decode(errors="replace"))
            if origin is not None:
                first[origin] = replace(first[origin], replayed=first[origin].replayed + 1)
            continue
        letter = Letter(_id(service, record), service, _decoded(record))
        message = letter.message
        origin = (message.group, message.topic, message.partition, message.offset)
        first.setdefault(origin, letter)
        ids[letter.id] = origin
    return list(first.values())


def _id(service: str, record: Any) -> str:
    place = f"{record.partition}-{record.offset}" if record.partition else str(record.offset)
    return f"{service}-{place}"


def _decoded(record: Any) -> DeadLetter:
    try:
        return DeadLetter.FromString(record.value or b"")
    except DecodeError:
        return DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            value=record.value,
            reason="this record is not a dead letter; somebody else wrote it",
        )


def _optional(message: Any, field: str) -> bytes | None:
    return bytes(getattr(message, field)) if message.HasField(field) else None
