"""What is promised of intake's settings: they count from the next ticket on."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import event

PATH = "/v1/intake/settings"
SHOP = f"{PATH}/shop"
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "object", "properties": {"total": {"type": "number"}}}},
}
REFUSED = [{"field": "custom_fields.order.total", "message": "must be a number"}]


async def put(intake: Any, path: str, body: Any, status: int = 200, **options: Any) -> Any:
    headers = intake.token(options.pop("role", "admin"), **options) | {"If-Match": "*"}
    return await intake.ask("PUT", path, body, status=status, headers=headers)


def requested(**body: Any) -> bytes:
    new = {"type": "order", "title": "Where is it", "description": "My parcel."}
    return json.dumps(new | body).encode()


async def test_the_environment_gives_the_defaults(intake: Any) -> None:
    found = await intake.ask("GET", PATH)
    assert (
        found["settings"].items()
        >= {
            "default_priority": "medium",
            "triage_threshold": 0.8,
            "duplicate_window": "P1D",
            "merge_similar": None,
            "undo_merge_window": "P1D",
            "follow_up_on_closed": True,
            "rating_window": "P14D",
            "action_link_lifetime": "P30D",
        }.items()
    )
    found = await intake.ask("GET", SHOP)
    assert found["settings"] == {
        "defaults": {},
        "tiers": {},
        "custom_fields": None,
        "order_link": None,
    }


async def test_a_ticket_without_a_priority_begins_as_its_product_type_and_tier_say(
    intake: Any, record: Any
) -> None:
    await put(intake, PATH, {"default_priority": "low"})
    await put(intake, SHOP, {"defaults": {"order": "medium"}, "tiers": {"Gold": "high"}})
    gold = {"email": "kim@example.com", "tier": "gold"}
    begun = [
        (await intake.open(**body))["priority"]
        for body in (
            {},
            {"type": "order"},
            {"type": "order", "submitter": gold},
            {"priority": "low", "submitter": gold},
            {"type": "order", "product": "bank", "submitter": gold},
        )
    ]
    assert begun == ["low", "medium", "high", "low", "low"]
    await intake.take_in(record(requested(submitter=gold)), record(requested()))
    found = await intake.ask("GET", "/v1/tickets?limit=2")
    assert sorted(ticket["priority"] for ticket in found["items"]) == ["high", "medium"]


async def test_custom_fields_that_do_not_fit_are_refused_at_every_door(
    intake: Any, record: Any
) -> None:
    before = await intake.open(custom_fields={"order": {"total": "9"}})
    await put(intake, SHOP, {"custom_fields": SCHEMA}, role="service", products=("shop",))
    bad, good = {"order": {"total": "9"}}, {"order": {"total": 9}}
    new = {"type": "order", "title": "It", "description": "x", "product": "shop"}
    answer = await intake.ask("POST", "/v1/tickets", new | {"custom_fields": bad}, status=422)
    assert answer["errors"] == REFUSED
    assert answer["detail"] == "custom_fields.order.total must be a number."
    ticket = await intake.open(custom_fields=good)
    await intake.open(custom_fields=bad, product="bank")

    # What was written before a schema stays; only what is written is checked.
    for each, fields, status in (
        (before, {"title": "Else"}, 200),
        (ticket, {"custom_fields": bad}, 422),
        (ticket, {"custom_fields": {}}, 200),
    ):
        path = f"/v1/tickets/{each['id']}"
        headers = intake.token() | {"If-Match": "*"}
        answer = await intake.ask("PATCH", path, fields, status=status, headers=headers)
        if status == 422:
            assert answer["errors"] == REFUSED

    people, told = await intake.count("submitters"), len(await intake.told())
    await intake.take_in(
        record(requested(custom_fields=bad, submitter={"email": "new@example.com"})),
        record(requested(custom_fields=good, title="Fine")),
    )
    rejected, opened = (await intake.told())[told:]
    assert rejected.name == "RequestRejected"
    assert [(one.field, one.message) for one in rejected.message.errors] == [
        ("custom_fields.order.total", "must be a number")
    ]
    assert opened.message.ticket.title == "Fine"
    assert await intake.count("submitters") == people


async def test_a_schema_that_is_wrong_is_refused_with_its_path(intake: Any) -> None:
    wrong = {"properties": {"order": {"properties": {"total": {"type": "txt"}}}}}
    answer = await put(intake, SHOP, {"custom_fields": wrong, "order_link": "x"}, 422)
    assert [error["field"] for error in answer["errors"]] == [
        "custom_fields.properties.order.properties.total.type",
        "order_link",
    ]
    answer = await put(intake, SHOP, {"defaults": {"tecnical": "high"}}, 422)
    assert "must be one of 'technical', 'account'" in answer["errors"][0]["message"]


async def test_order_references_become_links(intake: Any) -> None:
    ticket = await intake.open(order_refs=["A 1/2", "7"])
    assert ticket["order_links"] == []
    await put(intake, SHOP, {"order_link": "https://shop.example/orders/{ref}"})
    links = [
        {"ref": "A 1/2", "url": "https://shop.example/orders/A%201%2F2"},
        {"ref": "7", "url": "https://shop.example/orders/7"},
    ]
    assert (await intake.read(ticket))["order_links"] == links
    (listed,) = (await intake.ask("GET", "/v1/tickets"))["items"]
    assert listed["order_links"] == links
    assert (await intake.open(order_refs=["7"]))["order_links"] == links[1:]


async def test_windows_and_thresholds_are_those_in_force(intake: Any, clock: Any) -> None:
    ticket = await intake.move(await intake.open(), "resolved", "closed")
    await put(intake, PATH, {"rating_window": "PT1H"})
    clock.advance(timedelta(hours=2))
    refused = await intake.ask(
        "POST", f"/v1/tickets/{ticket['id']}/rating", {"score": 5}, status=409,
        role="submitter", sub="kim@example.com",
    )  # fmt: skip
    assert "was closed more than" in refused["detail"]


async def test_a_batch_of_requests_asks_for_settings_once_however_many_there_are(
    intake: Any, record: Any
) -> None:
    statements: list[str] = []
    event.listen(
        intake.tested.rt.database.engine.sync_engine,
        "before_cursor_execute",
        lambda *found: statements.append(found[2]),
    )
    await intake.take_in(record(requested()))
    few = list(statements)
    statements.clear()
    await intake.take_in(*(record(requested(title=f"No. {n}")) for n in range(200)))
    assert sum("FROM settings" in statement for statement in few) == 1
    assert sum("FROM settings" in statement for statement in statements) == 0
    assert len(statements) == len(few) - 1
