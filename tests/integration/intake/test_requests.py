"""What products are promised on their topic."""

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1.requests_pb2 import (
    MessageRequested,
    RequestedSubmitter,
    ResolutionRequested,
    TicketRequested,
)

NEW = {"type": "technical", "title": "It does not start", "description": "Since this morning."}


def as_json(**fields: Any) -> bytes:
    return json.dumps(NEW | fields).encode()


async def test_the_three_forms_open_the_same_ticket(intake: Any, record: Any) -> None:
    """Protobuf, JSON beside headers, and a whole CloudEvent in JSON."""
    fields = Struct()
    fields.update({"rack": 7, "lights": ["red"]})
    message = TicketRequested(
        type=words.TICKET_TYPE_TECHNICAL,
        title=NEW["title"],
        description=NEW["description"],
        priority=words.PRIORITY_HIGH,
        submitter=RequestedSubmitter(email="Kim@example.com", tier="gold"),
        tags=["Disk"],
        custom_fields=fields,
        order_refs=["7"],
    )
    data = NEW | {
        "priority": "high",
        "submitter": {"email": "Kim@example.com", "tier": "gold"},
        "tags": ["Disk"],
        "custom_fields": {"rack": 7, "lights": ["red"]},
        "order_refs": ["7"],
    }
    envelope = {
        "specversion": "1.0",
        "id": "whole",
        "source": "/shop",
        "type": "waybill.intake.v1.TicketRequested",
        "data": data,
    }
    await intake.take_in(
        record(message.SerializeToString(), content_type="application/protobuf"),
        record(json.dumps(data).encode(), content_type="application/json; charset=utf-8"),
        record(
            json.dumps(envelope).encode(),
            content_type="application/cloudevents+json",
            ce_id=None,
            ce_type=None,
        ),
    )
    told = await intake.told()
    assert [event.name for event in told] == ["TicketOpened"] * 3
    assert [event.message.cause.id for event in told] == ["r0", "r1", "whole"]
    own = ("id", "number")
    tickets = [event.message.ticket for event in told]
    assert len({ticket.id for ticket in tickets}) == 3
    for ticket in tickets:
        for name in own:
            ticket.ClearField(name)
    assert tickets[0] == tickets[1] == tickets[2]
    assert (tickets[0].product, tickets[0].submitter.tier) == ("shop", "gold")
    assert dict(tickets[0].custom_fields)["rack"] == 7
    assert await intake.count("submitters") == 1


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{", {}, "not JSON"),
        (b"[]", {}, "object"),
        (None, {}, "no value"),
        (b"\xff\xff", {"content_type": "application/protobuf"}, "not a waybill"),
        (as_json(), {"content_type": "text/plain"}, "content-type"),
        (as_json(), {"type": "TicketWished"}, "TicketRequested"),
        (as_json(), {"ce_id": None}, "id is missing"),
        (as_json(), {"ce_id": b"\xff"}, "UTF-8"),
        (as_json(), {"ce_specversion": b"2.0"}, "specversion"),
        (as_json(title=""), {}, "title"),
        (as_json(colour="red"), {}, "colour"),
        (as_json(title=7), {}, "title"),
        (as_json(description="x" * 20_001), {}, "description"),
        (as_json(attachment_ids=["019b8d7a-0000-7000-8000-000000000000"]), {}, "attachment"),
        (b'{"ticket_id": "WB-1", "body": "x"}', {"type": "MessageRequested"}, "no ticket WB-1"),
        (b'{"body": "x"}', {"type": "MessageRequested"}, "external_ref"),
        (b'{"external_ref": "y"}', {"type": "ResolutionRequested"}, "external_ref y"),
    ],
)
async def test_what_cannot_be_accepted_is_answered_once_and_changes_nothing(
    intake: Any, record: Any, value: bytes | None, headers: dict[str, Any], reason: str
) -> None:
    """A rejection with the request's id and the reason; those beside it go through."""
    bad = record(value, **headers)
    await intake.take_in(bad, record(as_json()))
    await intake.take_in(bad)
    told = await intake.told()
    assert sorted(event.name for event in told) == ["RequestRejected", "TicketOpened"]
    (rejected,) = [event for event in told if event.name == "RequestRejected"]
    assert reason in rejected.message.reason
    assert rejected.message.product == "shop"
    assert rejected.message.offset == 0
    given = headers.get("ce_id", b"r0")
    assert rejected.message.request_id == ("r0" if given == b"r0" else "")
    assert rejected.sequence is None
    assert await intake.count("tickets") == 1


async def test_a_monitors_whole_story_in_one_batch(intake: Any, record: Any) -> None:
    """Asked, asked again, told more, recovered, asked anew: in order, with one ticket."""
    opening = TicketRequested(
        type=words.TICKET_TYPE_TECHNICAL, title="Disk", description="Full.", external_ref="a7"
    ).SerializeToString()
    more = MessageRequested(external_ref="a7", body="99 %").SerializeToString()
    solved = ResolutionRequested(external_ref="a7", comment="Cleaned").SerializeToString()
    protobuf: dict[str, Any] = {"content_type": "application/protobuf"}
    await intake.take_in(
        record(opening, **protobuf),
        record(opening, **protobuf),
        record(more, "MessageRequested", **protobuf),
        record(solved, "ResolutionRequested", **protobuf),
        record(solved, "ResolutionRequested", **protobuf),
        record(opening, **protobuf),
    )
    told = await intake.told()
    assert len({event.subject for event in told}) == 1
    assert [event.name for event in told] == [
        "TicketOpened", "TicketEdited", "MessagePosted", "TicketStatusChanged",
        "TicketEdited", "TicketStatusChanged",
    ]  # fmt: skip
    ticket = told[-1].message.ticket
    assert (ticket.occurrences, ticket.reopenings) == (3, 1)
    assert ticket.status == words.STATUS_IN_PROGRESS
    assert await intake.read({"id": ticket.id})


async def test_a_product_touches_only_its_own(intake: Any, record: Any) -> None:
    """Neither another product's ticket, nor the resolution of a person's, nor another's request."""
    ours, theirs = await intake.open(), await intake.open(product="bank")
    await intake.take_in(
        record(json.dumps({"ticket_id": ours["number"]}).encode(), "ResolutionRequested"),
        record(json.dumps({"ticket_id": theirs["id"], "body": "x"}).encode(), "MessageRequested"),
        record(
            json.dumps(
                {
                    "ticket_id": ours["id"],
                    "body": "Still so",
                    "author": {"email": "kim@example.com"},
                }
            ).encode(),
            "MessageRequested",
        ),
    )
    told = (await intake.told())[2:]
    assert [event.name for event in told] == [
        "RequestRejected",
        "RequestRejected",
        "MessagePosted",
    ]
    assert told[-1].message.actor.id == ours["submitter"]["id"]
    same = {"ce_id": b"same", "ce_source": b"/x"}
    await intake.take_in(record(as_json(), **same))
    await intake.take_in(record(as_json(), topic="waybill.requests.bank.v1", **same))
    await intake.take_in(record(as_json(), **same))
    assert (await intake.names())[5:] == ["TicketOpened", "TicketOpened"]


async def test_five_hundred_requests_take_a_few_statements(intake: Any, record: Any) -> None:
    """The batch is written as a batch."""
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    from sqlalchemy import event as listen

    engine = intake.tested.rt.database.engine.sync_engine
    listen.listen(engine, "before_cursor_execute", count)
    records = [
        record(as_json(external_ref=f"e{n}", submitter={"email": f"p{n % 50}@example.com"}))
        for n in range(500)
    ]
    await intake.take_in(*records)
    assert statements <= 12
    assert await intake.count("tickets") == 500
    assert await intake.count("submitters") == 50
    assert await intake.count("ticket_log") == 500


async def test_a_refused_request_keeps_back_none_for_the_same_reference(
    intake: Any, record: Any
) -> None:
    """The next one of the batch opens the ticket, though the first had already its number."""
    fields = {"type": "technical", "title": "Disk full", "external_ref": "disk-1"}
    unknown = ["01890000-0000-7000-8000-000000000000"]
    await intake.take_in(
        record(as_json(**fields, attachment_ids=unknown)), record(as_json(**fields))
    )
    assert await intake.names() == ["RequestRejected", "TicketOpened"]
