"""The AsyncAPI 3 document of a service's topics, made from what it consumes and emits."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from waybill_chassis.events import PROTOBUF

SPEC_VERSION = "3.0.0"
_F = FieldDescriptor

_NUMBERS: Mapping[int, dict[str, Any]] = {
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _F.TYPE_DOUBLE: {"type": "number"},
    _F.TYPE_FLOAT: {"type": "number"},
} | {
    number: {"type": "integer", "format": "int32"}
    for number in (_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32, _F.TYPE_UINT32, _F.TYPE_FIXED32)
}
# 64 bits do not fit into a JavaScript number: ProtoJSON spells them as strings.
_LONG: dict[str, Any] = {"type": "string", "format": "int64"}

_WELL_KNOWN: Mapping[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {"type": "object"},
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.StringValue": {"type": "string"},
    "google.protobuf.BytesValue": {"type": "string", "contentEncoding": "base64"},
    "google.protobuf.DoubleValue": {"type": "number"},
    "google.protobuf.FloatValue": {"type": "number"},
    "google.protobuf.Int32Value": {"type": "integer", "format": "int32"},
    "google.protobuf.UInt32Value": {"type": "integer", "format": "int32"},
    "google.protobuf.Int64Value": _LONG,
    "google.protobuf.UInt64Value": _LONG,
}

_HEADERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ce_specversion": ("The version of CloudEvents.", {"const": "1.0"}),
    "ce_id": ("The event's own id; with ce_source it knows a duplicate.", {}),
    "ce_source": ("Who tells it, such as /waybill/sla.", {"format": "uri-reference"}),
    "ce_type": ("The full name of the message.", {}),
    "ce_subject": ("The id of what it is about: for most events a ticket.", {}),
    "ce_time": ("When it happened.", {"format": "date-time"}),
    "ce_sequence": ("Grows by one for each event of one subject and source.", {}),
    "content-type": ("How the payload is encoded.", {}),
    "traceparent": ("Where it belongs in a trace (W3C Trace Context).", {}),
    "tracestate": ("What tracing systems add to it (W3C Trace Context).", {}),
}
_REQUIRED_HEADERS = ("ce_specversion", "ce_id", "ce_source", "ce_type", "content-type")


def document(
    service: str,
    *,
    consumes: Mapping[str, Iterable[type[Message]]],
    emits: Mapping[str, Iterable[type[Message]]],
) -> dict[str, Any]:
    """The document; both mappings go from a topic (or a pattern) to the messages on it."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for action, topics in (("receive", consumes), ("send", emits)):
        for topic, types in topics.items():
            name, channel = _channel(topic)
            here = channels.setdefault(name, channel)["messages"]
            carried = []
            descriptors: list[Any] = [kind.DESCRIPTOR for kind in types]
            for descriptor in sorted(descriptors, key=lambda found: str(found.full_name)):
                key = descriptor.full_name
                messages.setdefault(key, _message(descriptor))
                _add_schema(descriptor, schemas)
                here[descriptor.name] = {"$ref": f"#/components/messages/{key}"}
                carried.append({"$ref": f"#/channels/{name}/messages/{descriptor.name}"})
            operations[f"{action}.{name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": f"{service} {'reads' if action == 'receive' else 'tells'} these.",
                "messages": carried,
            }
    return {
        "asyncapi": SPEC_VERSION,
        "id": f"urn:waybill:{service}",
        "info": {
            "title": f"Waybill {service}: events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0 on Kafka in binary mode: the attributes are record headers, the "
                "payload is the message. The schemas show its fields as JSON spells them."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": PROTOBUF,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": _trait()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _channel(topic: str) -> tuple[str, dict[str, Any]]:
    """The channel's name and what it is; a pattern becomes an address with a parameter."""
    address, parameters = topic, {}
    if topic.startswith("^"):
        address = re.sub(r"\[a-z0-9\]\[a-z0-9-\]\*", "{product}", topic.strip("^$"))
        address = address.replace("\\.", ".")
        if "{product}" in address:
            parameters = {"product": {"description": "The slug of the product."}}
    channel: dict[str, Any] = {
        "address": address,
        "description": "The record's key is the subject's id, so its events keep their order.",
        "messages": {},
    }
    if parameters:
        channel["parameters"] = parameters
        channel["description"] = "One topic for each product."
    return re.sub(r"[^A-Za-z0-9_.-]", "", address), channel


def _message(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "name": descriptor.full_name,
        "title": descriptor.name,
        "contentType": PROTOBUF,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{descriptor.full_name}"},
    }


def _trait() -> dict[str, Any]:
    return {
        "headers": {
            "type": "object",
            "required": list(_REQUIRED_HEADERS),
            "properties": {
                name: {"type": "string", "description": words} | more
                for name, (words, more) in _HEADERS.items()
            },
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _add_schema(descriptor: Descriptor, schemas: dict[str, Any]) -> None:
    """Add the schema of a message and of all that it holds."""
    if descriptor.full_name in schemas:
        return
    schema: dict[str, Any] = {"title": descriptor.name, "type": "object", "properties": {}}
    schemas[descriptor.full_name] = schema
    for field in descriptor.fields:
        schema["properties"][field.name] = _field(field, schemas)


def _field(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return {
            "type": "object",
            "additionalProperties": _single(message.fields_by_name["value"], schemas),
        }
    single = _single(field, schemas)
    return {"type": "array", "items": single} if field.is_repeated else single


def _single(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        name = field.message_type.full_name
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        _add_schema(field.message_type, schemas)
        return {"$ref": f"#/components/schemas/{name}"}
    if field.enum_type is not None:
        _add_enum(field.enum_type, schemas)
        return {"$ref": f"#/components/schemas/{field.enum_type.full_name}"}
    return dict(_NUMBERS.get(field.type, _LONG))


def _add_enum(enum: EnumDescriptor, schemas: dict[str, Any]) -> None:
    schemas.setdefault(
        enum.full_name,
        {
            "title": enum.name,
            "type": "string",
            "enum": [value.name for value in enum.values],
        },
    )
