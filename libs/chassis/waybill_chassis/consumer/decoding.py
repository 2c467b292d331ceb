"""Records to events: CloudEvents in binary mode, each with the span that handles it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError, Message

from waybill_chassis.consumer.client import Record, Unreadable
from waybill_chassis.dead_letters import REPLAY
from waybill_chassis.events import NO_TRACE, PROTOBUF, Event, InvalidEvent, TraceContext
from waybill_chassis.telemetry.spans import LightSpan, process_span

Decode = Callable[[ConsumerRecord, TraceContext], Event[Any] | None]
"""A record as an event whose `trace` is the given span; None skips it. Raises `InvalidEvent`."""

MOST_CHARACTERS = 512
"""The longest `ce_id`, `ce_source` and `ce_subject`: they are in indexes."""


_REQUIRED = (
    "ce_specversion",
    "ce_type",
    "ce_id",
    "ce_source",
    "ce_subject",
    "ce_time",
    "content-type",
)


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
        headers = texts(record)
        if REPLAY in headers and headers[REPLAY] != self._group:
            return None
        kind = headers.get("ce_type") or ""
        if self._decode is None and kind and kind not in self._types:
            return None
        parent = headers.get("traceparent")
        span = process_span(
            TraceContext(parent, headers.get("tracestate")) if parent else NO_TRACE,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            group=self._group,
            message_id=headers.get("ce_id") or "",
            type=kind,
        )
        try:
            if isinstance(record, Unreadable):
                raise InvalidEvent(
                    "the name of a header is not UTF-8: read the record by its place"
                )
            event = (
                self._binary(record, headers, span.trace)
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
        self, record: Record, headers: Mapping[str, str | None], trace: TraceContext
    ) -> Event[Any]:
        known = {name: headers.get(name) for name in _REQUIRED}
        for name, value in known.items():
            if not value:
                wrong = "not UTF-8" if value is None and name in headers else "missing"
                raise InvalidEvent(f"the header {name} is {wrong}")
        version, kind, id, source, subject, time, content = cast("list[str]", known.values())
        if version != "1.0":
            raise InvalidEvent(f"ce_specversion is {version!r}, not '1.0'")
        if content != PROTOBUF and content.partition(";")[0].strip() != PROTOBUF:
            raise InvalidEvent(f"content-type is {content!r}, not {PROTOBUF!r}")
        if record.value is None:
            raise InvalidEvent("the record has no value")
        try:
            message = self._types[kind].FromString(record.value)
        except DecodeError as error:
            raise InvalidEvent(f"the value is not a {kind}: {error}") from None
        sequence = headers.get("ce_sequence")
        return Event(
            id,
            source,
            kind,
            subject,
            _time(time),
            None if sequence is None else _number(sequence),
            message,
            trace,
            record.topic,
            record.partition,
            record.offset,
            record.key,
        )


def texts(record: Record) -> dict[str, str | None]:
    """The headers as text; None for what is none."""
    try:
        return {name: value.decode() for name, value in record.headers}
    except (UnicodeDecodeError, AttributeError):
        return {name: _text(value) for name, value in record.headers}


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _check(event: Event[Any]) -> None:
    together = f"{event.id}{event.source}{event.subject}"
    if len(together) <= MOST_CHARACTERS and "\0" not in together:
        return
    for name in ("id", "source", "subject"):
        value = getattr(event, name)
        if len(value) > MOST_CHARACTERS or "\0" in value:
            raise InvalidEvent(
                f"ce_{name} is longer than {MOST_CHARACTERS} characters, or holds a NUL"
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
