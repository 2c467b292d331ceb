"""Records to events: CloudEvents in binary mode, each with the span that handles it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError, Message

from waybill_chassis.consumer.client import Record, Unreadable
from waybill_chassis.dead_letters import REPLAY, readable
from waybill_chassis.events import NO_TRACE, PROTOBUF, Event, InvalidEvent, TraceContext
from waybill_chassis.telemetry.spans import LightSpan, process_span

Decode = Callable[[ConsumerRecord, TraceContext], Event[Any] | None]
"""A record as an event whose `trace` is the given span; None skips it. Raises `InvalidEvent`."""

MOST_CHARACTERS = 512
"""The longest `ce_id`, `ce_source` and `ce_subject`: they are in indexes."""


@dataclass(slots=True)
class Received:
    """A record in work: either it has an event, or the error for which it has none."""

    record: Record
    span: LightSpan
    event: Event[Any] | None
    error: Exception | None = None


class Decoder:
    """Turns records into events, and says which ones are not for this consumer."""

    def __init__(
        self, group: str, types: Iterable[type[Message]], decode: Decode | None = None
    ) -> None:
        """`decode` replaces the default, which knows Protobuf events of `types`."""
        self._group = group
        self._types = {kind.DESCRIPTOR.full_name: kind for kind in types}
        self._decode = decode

    def __call__(self, record: Record) -> Received | None:
        """None for what is skipped: of an unknown type, or a replay for another group."""
        headers = dict(record.headers)
        if REPLAY in headers and headers[REPLAY] != self._group.encode():
            return None
        kind = readable(headers.get("ce_type"))
        if self._decode is None and kind and kind not in self._types:
            return None
        span = process_span(
            _origin(headers),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            group=self._group,
            message_id=readable(headers.get("ce_id")),
            type=kind,
        )
        try:
            if isinstance(record, Unreadable):
                raise InvalidEvent(
                    "the name of a header is not UTF-8: read the record by its place"
                )
            event = (
                _binary(record, headers, span.trace, self._types[kind] if kind else None)
                if self._decode is None
                else self._decode(record, span.trace)
            )
            if event is None:
                return None
            _check(event)
        except Exception as error:  # noqa: BLE001 - one bad record must not stop those behind it
            return Received(record, span, None, error)
        return Received(record, span, event)


def _binary(
    record: Record,
    headers: Mapping[str, bytes | None],
    trace: TraceContext,
    kind: type[Message] | None,
) -> Event[Any]:
    def text(name: str) -> str:
        value = headers.get(name)
        if not value:
            raise InvalidEvent(f"the header {name} is missing")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidEvent(f"the header {name} is not UTF-8") from None

    name = text("ce_type")
    assert kind is not None
    if text("ce_specversion") != "1.0":
        raise InvalidEvent(f"ce_specversion is {text('ce_specversion')!r}, not '1.0'")
    if text("content-type").partition(";")[0].strip() != PROTOBUF:
        raise InvalidEvent(f"content-type is {text('content-type')!r}, not {PROTOBUF!r}")
    if record.value is None:
        raise InvalidEvent("the record has no value")
    try:
        message = kind.FromString(record.value)
    except DecodeError as error:
        raise InvalidEvent(f"the value is not a {name}: {error}") from None
    return Event(
        id=text("ce_id"),
        source=text("ce_source"),
        type=name,
        subject=text("ce_subject"),
        time=_time(text("ce_time")),
        sequence=_number(text("ce_sequence")) if headers.get("ce_sequence") else None,
        message=message,
        trace=trace,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
    )


def _origin(headers: Mapping[str, bytes | None]) -> TraceContext:
    parent = readable(headers.get("traceparent"))
    return TraceContext(parent, readable(headers.get("tracestate")) or None) if parent else NO_TRACE


def _check(event: Event[Any]) -> None:
    attributes = {"ce_id": event.id, "ce_source": event.source, "ce_subject": event.subject}
    for name, value in attributes.items():
        if len(value) > MOST_CHARACTERS or "\0" in value:
            raise InvalidEvent(
                f"{name} is longer than {MOST_CHARACTERS} characters, or holds a NUL"
            )


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidEvent(f"ce_time is {text!r}, not a time with its zone as in RFC 3339")
    return moment


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidEvent(f"ce_sequence is {text!r}, not a whole number")
    return int(text)
