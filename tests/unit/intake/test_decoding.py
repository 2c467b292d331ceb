"""Whatever a product publishes becomes a request, good or bad."""

import json
from typing import Any

from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from waybill.intake.v1.requests_pb2 import TicketRequested
from waybill_chassis.events import NO_TRACE
from waybill_intake.consumers.decoding import decode

GOOD = {"type": "order", "title": "t", "description": "d"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(),
    st.none(),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(
            [*GOOD, "tags", "submitter", "custom_fields", "external_ref", "data", "id"]
        ),
        json_values,
    ).map(lambda value: json.dumps(GOOD | value).encode()),
    st.just(TicketRequested(type=1, title="t", description="d").SerializeToString()),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "ce_id": st.sampled_from([b"1", b"", b"\xff", None, b"\x00", b"x" * 300]) | st.binary(),
        "ce_source": st.sampled_from([b"/shop", None, b"x" * 300]) | st.binary(),
        "ce_type": st.sampled_from(
            [b"waybill.intake.v1.TicketRequested", b"waybill.intake.v1.MessageRequested", b"\xff"]
        ),
        "ce_time": st.sampled_from([b"2026-01-05T09:00:00Z", b"9999-12-31T23:59:59-23:59", b"x"]),
        "content-type": st.sampled_from(
            [b"application/json", b"application/protobuf", b"application/cloudevents+json", b""]
        ),
    },
)


@given(bodies, headers, st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=500, deadline=None)
def test_nothing_a_product_publishes_breaks_the_reader(
    value: bytes | None, headers: dict[str, Any], timestamp: int
) -> None:
    """Either there is a body or a problem, and always an id that the inbox can keep."""
    topic = "waybill.requests.shop.v1"
    pairs = list(headers.items())
    record: Any = ConsumerRecord(topic, 0, 7, timestamp, 0, None, value, None, 0, 0, pairs)
    event = decode(record, NO_TRACE)
    request = event.message
    assert (request.body is None) != (request.problem is None)
    assert request.product == "shop"
    assert 0 < len(event.id) <= 512
    assert len(event.source) <= 512
    assert "\0" not in event.id + event.source + request.external_ref
    f"{request.external_ref}{request.type}".encode()
