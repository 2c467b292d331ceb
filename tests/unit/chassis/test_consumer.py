"""What the consumer decides without a broker or a database."""

import asyncio
import socket
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.exc import DBAPIError
from waybill_chassis.consumer import Consumer
from waybill_chassis.consumer.decoding import Decoder
from waybill_chassis.consumer.turn import LONGEST_PAUSE_SECONDS, Turn, pause_of
from waybill_chassis.dead_letters import LEAST, Share, TooManyDeadLetters, letter
from waybill_chassis.events import TraceContext, headers
from waybill_chassis.failures import is_transient
from waybill_chassis.problems import Conflict, Unavailable

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")


def record(*, value: bytes | None = b"", more: Any = (), **attributes: Any) -> ConsumerRecord:
    known = {
        "id": "1",
        "source": "/waybill/test",
        "type": "google.protobuf.StringValue",
        "subject": "s",
        "time": datetime(2026, 1, 5, 9, tzinfo=UTC),
        "sequence": 7,
        "trace": TRACE,
    } | attributes
    pairs = (*headers(**known), *more)
    return ConsumerRecord("t", 2, 3, 4, 0, b"k", value, None, 1, 0, pairs)


def test_an_event_carries_what_its_record_says() -> None:
    """Without telemetry its trace is the one that it came with."""
    found = Decoder("g", [StringValue])(record(value=StringValue(value="w").SerializeToString()))
    assert found is not None
    event = found.event
    assert event is not None
    assert (event.id, event.source, event.subject, event.sequence) == ("1", "/waybill/test", "s", 7)
    assert (event.topic, event.partition, event.offset, event.key) == ("t", 2, 3, b"k")
    assert event.time == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert event.message == StringValue(value="w")
    assert event.trace.traceparent == TRACE.traceparent


@pytest.mark.parametrize(
    "skipped",
    [record(type="waybill.new.v1.Unheard"), record(more=[("waybill-replay", b"another")])],
)
def test_what_is_for_others_is_skipped(skipped: ConsumerRecord) -> None:
    """An unknown type, a replay for another group."""
    assert Decoder("g", [StringValue])(skipped) is None


def test_a_tombstone_is_no_event() -> None:
    """Nothing is deleted by our topics."""
    found = Decoder("g", [StringValue])(record(value=None))
    assert found is not None
    assert str(found.error) == "the record has no value"


def test_a_decoder_that_fails_costs_one_record() -> None:
    """Whatever it raises."""

    def decode(_: ConsumerRecord, __: TraceContext) -> None:
        raise KeyError("title")

    found = Decoder("g", [], decode)(record())
    assert found is not None
    assert isinstance(found.error, KeyError)


def test_a_letter_without_key_and_value_says_so() -> None:
    """Absent is not empty."""
    bare = ConsumerRecord("t", 0, 0, -1, 0, None, None, None, -1, -1, (("x", None), ("x", b"")))
    found = letter(bare, service="sla", group="g", error=ValueError(), attempts=3)
    assert not found.HasField("key")
    assert not found.HasField("value")
    assert not found.HasField("timestamp")
    assert [header.HasField("value") for header in found.headers] == [False, True]
    assert (found.reason, found.error_type) == ("ValueError", "ValueError")


def test_half_of_the_messages_may_fail_and_no_more() -> None:
    """Over the last hundred, once there are enough to judge by."""
    share = Share()
    for _ in range(LEAST - 1):
        share.put_aside()
    with pytest.raises(TooManyDeadLetters, match="20 of the last 20"):
        share.put_aside()
    share = Share()
    share.handled(1000)
    for _ in range(50):
        share.put_aside()
    with pytest.raises(TooManyDeadLetters, match="51 of the last 100"):
        share.put_aside()


def test_pauses_grow_to_a_bound() -> None:
    """Each is spread over half of its length."""
    assert 0.05 <= pause_of(1) <= 0.1
    assert 0.2 <= pause_of(3) <= 0.4
    assert LONGEST_PAUSE_SECONDS / 2 <= pause_of(1000) <= LONGEST_PAUSE_SECONDS


async def test_a_turn_that_ends_waits_no_longer() -> None:
    """A pause of any length is broken off."""

    async def keep_alive() -> None:
        raise AssertionError("not yet")

    turn = Turn(keep_alive)
    asyncio.get_running_loop().call_soon(turn.end)
    assert not await turn.pause(3600)
    assert turn.over


class Refused(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("refused")
        self.sqlstate = sqlstate


def database_error(state: str | None, cause: Exception | None = None) -> DBAPIError:
    refused = Refused(state)
    refused.__cause__ = cause
    return DBAPIError("SELECT", {}, refused)


class Answer(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "error",
    [
        database_error("40P01"),
        database_error("40001"),
        database_error("57P01"),
        database_error("53300"),
        database_error(None),
        ConnectionRefusedError(),
        TimeoutError(),
        socket.gaierror(),
        OSError("Multiple exceptions: ..."),
        KafkaConnectionError(),
        Answer(),
        Unavailable("kb is away"),
        ExceptionGroup("one", [ConnectionResetError()]),
    ],
)
def test_what_is_away_is_waited_for(error: Exception) -> None:
    """And so is who was in the way."""
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        database_error("23505"),
        database_error("42P01"),
        database_error("57014"),
        database_error("22021"),
        database_error(None, ValueError("value out of int32 range")),
        FileNotFoundError(2, "no such file"),
        MessageSizeTooLargeError(),
        Conflict("no"),
        ValueError(),
    ],
)
def test_what_is_wrong_is_not_waited_for(error: Exception) -> None:
    """A parameter that does not fit is no database that is away."""
    assert not is_transient(error)


def test_a_consumer_reads_topics_or_a_pattern() -> None:
    """Not both, and not nothing."""
    for where in ({}, {"topics": ["a"], "pattern": "b"}):
        with pytest.raises(ValueError, match="either topics or a pattern"):
            Consumer(
                None,  # type: ignore[arg-type]
                bootstrap_servers="",
                group="g",
                handle=None,  # type: ignore[arg-type]
                types=[],
                **where,
            )
