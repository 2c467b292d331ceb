"""Moments and spans, as Python has them and as protobuf has them."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from waybill_chassis.problems import invalid_field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment for a field of a message; None leaves the field unset."""
    if moment is None:
        return None
    # As Timestamp.FromDatetime has it, at a third of its price.
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


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
