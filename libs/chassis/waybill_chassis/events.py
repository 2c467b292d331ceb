"""Events as CloudEvents 1.0 on Kafka, binary mode: the attributes travel as headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from waybill_chassis.ids import parse_id

PROTOBUF = "application/protobuf"
JSON = "application/json"

M = TypeVar("M", bound=Message)


class InvalidEvent(Exception):
    """A message that can never be handled, and why. It goes to the dead letters."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace, as W3C Trace Context spells it."""

    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace's id, 32 hex digits; None outside of any."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) == 4 else None


NO_TRACE = TraceContext()


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """An event as it was received.

    `time` is when it happened; `sequence` grows by one per (source, subject) and is None for
    messages that products publish; `trace` is the span that handles this very message, so that
    what the handler emits can be told to have come from it.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    sequence: int | None
    message: M
    trace: TraceContext
    topic: str
    partition: int
    offset: int
    key: bytes | None = None


def ticket_id(text: str) -> UUID:
    """The ticket that an event names; `InvalidEvent` where the text is no id."""
    id = parse_id(text)
    if id is None:
        raise InvalidEvent(f"{text!r} is not the id of a ticket")
    return id


def events_topic(service: str) -> str:
    """The topic on which `service` tells what happened."""
    return f"waybill.{service}.events.v1"


def dead_letters_topic(service: str) -> str:
    """Where `service` puts what it cannot handle."""
    return f"waybill.{service}.dead-letters.v1"


def requests_topic(product: str) -> str:
    """Where `product` publishes its requests."""
    return f"waybill.requests.{product}.v1"


def feed_topic(product: str) -> str:
    """Where `product` reads what happened to its tickets."""
    return f"waybill.feed.{product}.v1"


REQUESTS_PATTERN = r"^waybill\.requests\.[a-z0-9][a-z0-9-]*\.v1$"


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as `ce_time` has it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def headers(
    *,
    id: str,
    source: str,
    type: str,
    subject: str,
    time: datetime,
    sequence: int | None = None,
    content_type: str = PROTOBUF,
    trace: TraceContext = NO_TRACE,
) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event in CloudEvents' binary mode."""
    pairs: Sequence[tuple[str, str | None]] = (
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_source", source),
        ("ce_type", type),
        ("ce_subject", subject),
        ("ce_time", format_time(time)),
        ("ce_sequence", None if sequence is None else str(sequence)),
        ("content-type", content_type),
        ("traceparent", trace.traceparent),
        ("tracestate", trace.tracestate),
    )
    return [(name, value.encode()) for name, value in pairs if value]
