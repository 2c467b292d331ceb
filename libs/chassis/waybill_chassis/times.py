"""Moments and spans, as Python has them and as protobuf has them."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from waybill_chassis.problems import invalid_field


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment for a field of a message; None leaves the field unset."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def duration(span: timedelta | None) -> Duration | None:
    """A span for a field of a message; None leaves the field unset."""
    if span is None:
        return None
    found = Duration()
    found.FromTimedelta(span)
    return found


def moment(message: Message, field: str) -> datetime | None:
    """The moment that a field of a message holds, in UTC; None where it is not set.

    `Invalid` for one that no calendar has.
    """
    if not message.HasField(field):
        return None
    try:
        found: datetime = getattr(message, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_field(field, "must be a time of the years 1 to 9999") from None
    return found
