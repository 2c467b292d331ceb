import re
from collections.abc import Iterator
from typing import Any

import jsonschema
from waybill.intake.v1.events_pb2 import MessagePosted, TicketOpened
from waybill.intake.v1.requests_pb2 import TicketRequested
from waybill.sla.v1.events_pb2 import ClockStarted, TargetBreached
from waybill_chassis import asyncapi
from waybill_chassis.events import REQUESTS_PATTERN

DOCUMENT = asyncapi.document(
    "sla",
    consumes={
        "waybill.intake.events.v1": [TicketOpened, MessagePosted],
        REQUESTS_PATTERN: [TicketRequested],
    },
    emits={"waybill.sla.events.v1": [ClockStarted, TargetBreached]},
)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    assert reference.startswith("#/")
    node: Any = DOCUMENT
    for part in reference[2:].split("/"):
        node = node[part]
    return node


def test_every_reference_leads_somewhere() -> None:
    """Messages of operations are those of their channel, as AsyncAPI 3 demands."""
    found = list(references(DOCUMENT))
    assert found
    assert all(resolve(reference) for reference in found)
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(one["$ref"].startswith(f"{channel}/messages/") for one in operation["messages"])


def test_the_document_has_what_the_specification_asks_for() -> None:
    """The version, an info object, names that keys may have, actions that exist."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]
    for names in (
        DOCUMENT["channels"],
        DOCUMENT["operations"],
        *DOCUMENT["components"].values(),
    ):
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in names)
    actions = {name: one["action"] for name, one in DOCUMENT["operations"].items()}
    assert actions == {
        "receive.waybill.intake.events.v1": "receive",
        "receive.waybill.requests.product.v1": "receive",
        "send.waybill.sla.events.v1": "send",
    }


def test_a_topic_for_each_product_has_a_parameter() -> None:
    """The pattern that a consumer reads becomes an address that a person can read."""
    channel = DOCUMENT["channels"]["waybill.requests.product.v1"]
    assert channel["address"] == "waybill.requests.{product}.v1"
    assert set(channel["parameters"]) == {"product"}


def test_the_schemas_describe_messages_as_protobuf_spells_them_in_json() -> None:
    """They are JSON schemas, and nested messages, lists, times and enumerations are in them."""
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft7Validator.check_schema(schema)
    opened = schemas["waybill.intake.v1.TicketOpened"]["properties"]
    assert set(opened) == {field.name for field in TicketOpened.DESCRIPTOR.fields}
    assert opened["actor"] == {"$ref": "#/components/schemas/waybill.common.v1.Actor"}
    ticket = schemas["waybill.intake.v1.Ticket"]["properties"]
    assert ticket["created_at"] == {"type": "string", "format": "date-time"}
    assert ticket["tags"] == {"type": "array", "items": {"type": "string"}}
    assert "PRIORITY_URGENT" in schemas["waybill.common.v1.Priority"]["enum"]


def test_every_message_carries_the_attributes_of_cloudevents() -> None:
    """As headers, the required ones marked so."""
    for message in DOCUMENT["components"]["messages"].values():
        assert message["traits"] == [{"$ref": "#/components/messageTraits/cloudEvent"}]
    headers = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
    assert set(headers["required"]) <= set(headers["properties"])
