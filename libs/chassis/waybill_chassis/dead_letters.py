"""Dead letters: records that cannot be handled, put aside with all that a replay needs."""

from collections import deque
from typing import TypeAlias
from uuid import UUID, uuid5

from aiokafka import ConsumerRecord
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.dead_letter_pb2 import DeadLetter

from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import TraceContext, dead_letters_topic

WINDOW = 100
"""The share of dead letters is taken over the last so many messages."""

LEAST = 20
"""No share is taken over fewer messages than this."""

REPLAY = "waybill-replay"
"""The header of a replayed record: the group that it is for. Others skip it."""

_NAMES = UUID("5f0ce5a5-7d3d-5a4e-9d0b-6a0f4f0f6a55")
_MOST_WORDS = 2000

Record: TypeAlias = ConsumerRecord[bytes, bytes]


class TooManyDeadLetters(Exception):
    """So many messages fail that something else is wrong. The consumer has stopped."""


class Share:
    """How many of the last messages went to the dead letters, and whether that is too many."""

    def __init__(self) -> None:
        """Begins with nothing seen."""
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def handled(self, messages: int) -> None:
        """So many messages were handled."""
        self._last.extend([False] * min(messages, WINDOW))

    def put_aside(self) -> None:
        """Count a message that is to be put aside; `TooManyDeadLetters` if it must not be."""
        self._last.append(True)
        dead, seen = sum(self._last), len(self._last)
        if seen >= LEAST and dead * 2 > seen:
            raise TooManyDeadLetters(f"{dead} of the last {seen} messages cannot be handled")


def letter(
    record: Record, *, service: str, group: str, error: Exception, attempts: int
) -> DeadLetter:
    """The record as it was, and why it could not be handled; `failed_at` is not set."""
    known = {name: readable(value) for name, value in record.headers}
    found = DeadLetter(
        service=service,
        group=group,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=_moment(record.timestamp),
        key=record.key,
        value=record.value,
        reason=_words(error),
        error_type=type(error).__name__,
        attempts=attempts,
        event_id=known.get("ce_id", ""),
        event_source=known.get("ce_source", ""),
        event_type=known.get("ce_type", ""),
        event_subject=known.get("ce_subject", ""),
    )
    for name, value in record.headers:
        found.headers.add(name=name, value=value)
    return found


def put_aside(uow: UnitOfWork, found: DeadLetter, trace: TraceContext) -> None:
    """Publish `found` with this transaction. The same record put aside again has the same id."""
    found.failed_at.FromDatetime(uow.now)
    place = f"{found.topic}/{found.partition}/{found.offset}"
    uow.emit(
        found,
        subject=_storable(found.event_subject) or place,
        aggregate_type="dead_letter",
        topic=dead_letters_topic(uow.service),
        key=_storable(found.key.decode(errors="replace")) or place,
        event_id=uuid5(_NAMES, f"{found.group}/{place}"),
        trace=trace,
        sequenced=False,
    )


def readable(value: bytes | None) -> str:
    """A header's text, or nothing if it is none."""
    try:
        return value.decode() if value else ""
    except UnicodeDecodeError:
        return ""


def _words(error: Exception) -> str:
    words = str(error) or type(error).__name__
    return words[:_MOST_WORDS].encode(errors="replace").decode()


def _storable(words: str) -> str:
    # PostgreSQL's text takes anything but NUL.
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _moment(milliseconds: int) -> Timestamp | None:
    if milliseconds < 0:
        return None
    moment = Timestamp()
    moment.FromMilliseconds(milliseconds)
    return moment
