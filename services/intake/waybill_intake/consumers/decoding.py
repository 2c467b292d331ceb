"""Records of products' topics: three forms, one request. Nothing here ever is a dead letter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import ConsumerRecord
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from pydantic import ValidationError
from pydantic_core import from_json
from waybill.intake.v1 import requests_pb2
from waybill_chassis import validation
from waybill_chassis.events import JSON, PROTOBUF, Event, TraceContext
from waybill_chassis.problems import Malformed, Problem
from waybill_chassis.validation import RequestModel
from waybill_chassis.words import word

from waybill_intake.bodies import (
    MessageRequest,
    ResolutionRequest,
    TicketRequest,
)

STRUCTURED = "application/cloudevents+json"
REQUESTS: tuple[type[Message], ...] = (
    requests_pb2.TicketRequested,
    requests_pb2.MessageRequested,
    requests_pb2.ResolutionRequested,
)

_MOST_CHARACTERS = 256
_LATEST_MILLISECONDS = 4_102_444_800_000  # the year 2100
_MODELS: Mapping[str, type[RequestModel]] = {
    "waybill.intake.v1.TicketRequested": TicketRequest,
    "waybill.intake.v1.MessageRequested": MessageRequest,
    "waybill.intake.v1.ResolutionRequested": ResolutionRequest,
}
_MESSAGES = {kind.DESCRIPTOR.full_name: kind for kind in REQUESTS}


@dataclass(slots=True)
class Request:
    """What a product asks: either a `body` that can be worked on, or the `problem` with it."""

    product: str
    id: str = ""
    source: str = ""
    type: str = ""
    external_ref: str = ""
    body: RequestModel | None = None
    problem: Problem | None = None


def decode(record: ConsumerRecord[Any, Any], trace: TraceContext) -> Event[Any]:
    """A record as an event whose message is a `Request`.

    The inbox knows it by its topic, source and id, so that products cannot hide one another's;
    one without an id by its place.
    """
    request = Request(product=record.topic.removeprefix("waybill.requests.").removesuffix(".v1"))
    time = None
    try:
        time = _read(record, request)
    except Problem as problem:
        request.problem = problem
    return Event(
        id=request.id or f"{record.partition}/{record.offset}",
        source=f"{record.topic} {request.source}" if request.id else record.topic,
        # Only known types: they label metrics.
        type=request.type if request.type in _MODELS else "waybill.intake.v1.UnknownRequest",
        subject=request.external_ref,
        time=time or _arrived(record.timestamp),
        sequence=None,
        message=request,
        trace=trace,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
    )


def _read(record: ConsumerRecord[Any, Any], request: Request) -> datetime | None:
    """Fill `request` as far as it can be read; when it was made, where that is said."""
    headers = dict(record.headers)
    form = _header(headers, "content-type").partition(";")[0].strip().lower()
    attributes: Mapping[str, Any]
    data: Any = record.value or b""
    if form == STRUCTURED:
        attributes = _json(data)
        data = attributes.get("data")
    else:
        names = ("id", "source", "type", "specversion", "time")
        attributes = {name: _header(headers, f"ce_{name}") for name in names}
    for name in ("type", "source", "id"):
        setattr(request, name, _attribute(attributes, name, required=name != "source"))
    if attributes.get("specversion") not in ("1.0", "", None):
        raise Malformed("specversion must be 1.0.")
    if request.type not in _MODELS:
        raise Malformed(f"The type is none of {', '.join(_MODELS)}.")
    if record.value is None:
        raise Malformed("The record has no value.")
    if form == PROTOBUF:
        data = _protobuf(data, request.type)
    elif form == JSON:
        data = _json(data)
    elif form != STRUCTURED:
        raise Malformed(f"content-type must be {PROTOBUF}, {JSON} or {STRUCTURED}.")
    _validate(data, request)
    return _time(attributes.get("time"))


def _validate(data: Any, request: Request) -> None:
    if isinstance(data, dict) and isinstance(data.get("external_ref"), str):
        request.external_ref = data["external_ref"].replace("\0", "")[:_MOST_CHARACTERS]
    if not isinstance(data, dict):
        raise Malformed("The data must be a JSON object.")
    try:
        body = _MODELS[request.type].model_validate(data)
    except ValidationError as error:
        raise validation.invalid(error) from None
    request.body = body


def _header(headers: Mapping[str, bytes | None], name: str) -> str:
    try:
        return (headers.get(name) or b"").decode()
    except UnicodeDecodeError:
        raise Malformed(f"The header {name} is not UTF-8.") from None


def _attribute(attributes: Mapping[str, Any], name: str, *, required: bool) -> str:
    value = attributes.get(name) or ""
    if required and value == "":
        raise Malformed(f"The attribute {name} is missing (in binary mode the header ce_{name}).")
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or not value.isprintable():
        raise Malformed(
            f"The attribute {name} must be text of at most {_MOST_CHARACTERS} characters."
        )
    return value


def _arrived(milliseconds: int) -> datetime:
    # Whoever produces a record may give it any timestamp.
    return datetime.fromtimestamp(min(max(milliseconds, 0), _LATEST_MILLISECONDS) / 1000, UTC)


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _json(value: bytes) -> dict[str, Any]:
    try:
        found = from_json(value)
    except ValueError as error:
        raise Malformed(f"The value is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Malformed("The value must be a JSON object.")
    return found


def _protobuf(value: bytes, type: str) -> dict[str, Any]:
    try:
        return _fields(_MESSAGES[type].FromString(value))
    except (DecodeError, json_format.Error, ValueError):
        raise Malformed(f"The value is not a {type}.") from None


def _fields(message: Message) -> dict[str, Any]:
    """The fields that are set, as JSON would have them; enum values we do not know count not."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.enum_type is not None:
            if known := word(field.enum_type, value):
                found[field.name] = known
        elif field.message_type is None:
            found[field.name] = value if isinstance(value, str) else list(value)
        elif field.message_type.full_name == "google.protobuf.Struct":
            found[field.name] = json_format.MessageToDict(value)
        else:
            found[field.name] = _fields(value)
    return found
