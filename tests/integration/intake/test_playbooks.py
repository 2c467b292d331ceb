"""Playbooks over REST: configured per product, ticked off, and held against a resolving."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

PLACE = "/v1/playbooks/shop/technical"
POINTS = [
    {"id": "verify", "title": "Verify", "hint": "Who is it?", "required": True},
    {"id": "repair", "title": "Repair"},
    {"id": "remote-help", "title": "Remote help", "if_needed": True},
]
ROOT = {"role": "admin", "sub": "root@example.com"}


async def configure(intake: Any, points: Any = POINTS, path: str = PLACE, **more: Any) -> Any:
    headers = intake.token("admin", sub="root@example.com") | {"If-Match": more.pop("match", "*")}
    return await intake.ask("PUT", path, {"points": points}, headers=headers, **more)


async def settle(
    intake: Any, ticket: Any, point: str, state: str, *, status: int = 200, **body: Any
) -> Any:
    path = f"/v1/tickets/{ticket['id']}/checklist/{point}"
    return await intake.ask("PUT", path, {"state": state} | body, status=status)


async def skipped(intake: Any, ticket: Any) -> list[str]:
    async with intake.tested.rt.database.reading() as connection:
        rows = await connection.execute(
            text("SELECT skipped FROM tickets WHERE id = CAST(:id AS uuid)"), {"id": ticket["id"]}
        )
        found: list[str] = rows.scalar_one()
        return found


async def test_playbooks_are_versioned_and_the_nearest_counts(intake: Any) -> None:
    """Built in, for every product, for one; a version that was seen is never met again."""
    found = await intake.ask("GET", PLACE)
    assert (found["source"], found["version"]) == ("built_in", 0)
    every = "/v1/playbooks/*/technical"
    await configure(intake, [{"id": "x", "title": "X"}], every, match='"0"')
    found = await intake.ask("GET", PLACE)
    assert (found["source"], [point["id"] for point in found["points"]]) == ("*", ["x"])
    await configure(intake, match='"7"', status=412)
    first = await configure(intake, match='"0"')
    assert (first["source"], first["version"], first["updated_by"]) == (
        "shop", 1, "root@example.com",
    )  # fmt: skip
    assert (await configure(intake, match='"1"'))["version"] == 1
    headers = intake.token("admin") | {"If-Match": '"1"'}
    gone = await intake.ask("DELETE", PLACE, headers=headers)
    assert (gone["source"], gone["version"]) == ("*", 2)
    await intake.ask("DELETE", PLACE, headers=headers | {"If-Match": "*"}, status=404)
    await intake.ask("DELETE", PLACE, headers=headers | {"If-Match": '"1"'}, status=412)
    assert (await configure(intake, match='"2"'))["version"] == 3
    await intake.ask("PUT", PLACE, {"points": []}, **ROOT, status=428)


async def test_the_list_is_paged_and_shows_only_ones_own_products(intake: Any) -> None:
    """What counts for all, and what the caller's products have; or all that counts for one."""
    await configure(intake)
    await configure(intake, path="/v1/playbooks/bank/order")
    seen, cursor = [], ""
    while True:
        page = await intake.ask("GET", f"/v1/playbooks?limit=2{cursor}", products=("shop",))
        seen += [(item["product"], item["type"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 7
    assert ("shop", "technical") in seen
    assert ("bank", "order") not in seen
    six = await intake.ask("GET", "/v1/playbooks?product=shop", products=("shop",))
    sources = [item["source"] for item in six["items"]]
    assert sources == ["built_in"] * 5 + ["shop"]
    for path in ("/v1/playbooks?product=bank", "/v1/playbooks/bank/order"):
        await intake.ask("GET", path, products=("shop",), status=404)


@pytest.mark.parametrize(
    ("points", "field"),
    [
        ([{"id": "X y", "title": "X"}], "points.0.id"),
        ([{"id": "x", "title": ""}], "points.0.title"),
        ([{"id": "x", "title": "X"}] * 2, "points"),
        ([{"id": f"x{n}", "title": "X"} for n in range(31)], "points"),
        ([{"id": "x", "title": "X", "required": "yes"}], "points.0.required"),
        ([{"id": "x", "title": "X", "needed": True}], "points.0.needed"),
    ],
)
async def test_a_playbook_that_makes_no_sense_is_refused(
    points: Any, field: str, intake: Any
) -> None:
    """The field is named and nothing is kept."""
    problem = await configure(intake, points, status=422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await intake.count("playbooks") == 0


async def test_points_are_settled_once_and_logged(intake: Any) -> None:
    """Who, when and why; each change is one event and one line; the same again is none."""
    await configure(intake)
    ticket = await intake.open()
    await settle(intake, ticket, "verify", "waived", status=422)
    await settle(intake, ticket, "nothing", "done", status=404)
    shown = await settle(intake, ticket, "verify", "waived", reason="Known for years")
    await settle(intake, ticket, "verify", "waived", reason="Known for years")
    point = shown["points"][0]
    assert (point["id"], point["state"], point["reason"]) == ("verify", "waived", "Known for years")
    assert point["by"].endswith("@example.com")
    assert point["at"]
    assert await intake.names(ticket) == ["TicketOpened", "TicketEdited"]
    changes = (await intake.told(ticket))[-1].message.changes
    assert [(one.field, one.after.string_value) for one in changes] == [
        ("checklist.verify", "waived"),
        ("checklist.verify.reason", "Known for years"),
    ]
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    assert "checklist.verify: open -> waived" in log["items"][-1]["summary"]
    shown = await settle(intake, ticket, "verify", "open")
    assert (shown["points"][0]["state"], shown["points"][0]["by"]) == ("open", None)
    kim = {"role": "submitter", "sub": "kim@example.com"}
    await intake.ask("GET", f"/v1/tickets/{ticket['id']}/checklist", **kim, status=403)
    assert "checks" not in await intake.ask("GET", f"/v1/tickets/{ticket['id']}", **kim)


async def test_an_agent_cannot_resolve_over_an_open_required_point(intake: Any) -> None:
    """409 with what is missing and nothing written; done or waived, it goes through."""
    await configure(intake)
    ticket = await intake.move(await intake.open(), "in_progress")
    path = f"/v1/tickets/{ticket['id']}/transitions"
    problem = await intake.ask("POST", path, {"to": "resolved"}, status=409)
    assert problem["type"].endswith("checklist-open")
    assert problem["missing"] == [{"id": "verify", "title": "Verify"}]
    assert (await intake.read(ticket))["version"] == ticket["version"]
    await settle(intake, ticket, "verify", "done")
    resolved = await intake.ask("POST", path, {"to": "resolved"})
    assert resolved["status"] == "resolved"
    assert await skipped(intake, ticket) == ["repair"]


async def test_of_many_tickets_only_those_with_open_points_are_held_up(intake: Any) -> None:
    """The result of each says so, and the others are resolved."""
    await configure(intake)
    ready, other = [await intake.move(await intake.open(), "in_progress") for _ in range(2)]
    await settle(intake, ready, "verify", "waived", reason="Known")
    body = {"tickets": [ready["number"], other["number"]], "transition": {"to": "resolved"}}
    found = await intake.ask("POST", "/v1/tickets/bulk", body)
    assert (found["succeeded"], found["failed"]) == (1, 1)
    assert found["items"][0]["problem"] is None
    assert [point["id"] for point in found["items"][1]["problem"]["missing"]] == ["verify"]
    assert await skipped(intake, ready) == ["repair"]
    assert (await intake.read(other))["status"] == "in_progress"


async def test_only_agents_are_held_up(intake: Any, record: Any) -> None:
    """The submitter knows that it is solved, and so does a monitor; what was skipped is kept."""
    await configure(intake)
    kim = {"role": "submitter", "sub": "kim@example.com"}
    ticket = await intake.open()
    await intake.ask("POST", f"/v1/tickets/{ticket['id']}/transitions", {"to": "resolved"}, **kim)
    assert await skipped(intake, ticket) == ["verify", "repair"]
    body = b'{"type": "technical", "title": "Disk", "description": "Full", "external_ref": "d1"}'
    await intake.take_in(record(body), record(b'{"external_ref": "d1"}', "ResolutionRequested"))
    (alert,) = (await intake.ask("GET", "/v1/tickets"))["items"][:1]
    assert alert["status"] == "resolved"
    assert await skipped(intake, alert) == ["verify", "repair"]


async def test_another_type_is_another_playbook_and_ticks_stay(intake: Any) -> None:
    """Points of the same id keep what was done of them."""
    await configure(intake)
    other = [{"id": "verify", "title": "Verify the order"}, {"id": "pay", "title": "Pay"}]
    await configure(intake, other, "/v1/playbooks/shop/order")
    ticket = await intake.open()
    await settle(intake, ticket, "verify", "done")
    headers = intake.token("agent") | {"If-Match": "*"}
    path = f"/v1/tickets/{ticket['id']}"
    await intake.ask("PATCH", path, {"type": "order"}, headers=headers)
    shown = await intake.ask("GET", f"{path}/checklist")
    states = [(point["id"], point["state"]) for point in shown["points"]]
    assert states == [("verify", "done"), ("pay", "open")]


@asynccontextmanager
async def held_ticket(intake: Any, ticket: Any) -> AsyncIterator[None]:
    """Somebody else works on the ticket meanwhile."""
    async with intake.tested.rt.database.unit_of_work() as uow:
        await uow.execute(
            text("SELECT 1 FROM tickets WHERE id = CAST(:id AS uuid) FOR UPDATE"),
            {"id": ticket["id"]},
        )
        yield


async def test_the_playbook_counts_as_it_stands_at_the_resolving(intake: Any) -> None:
    """What became required while the request waited for the ticket holds it up."""
    ticket = await intake.move(await intake.open(), "in_progress")
    path = f"/v1/tickets/{ticket['id']}/transitions"
    async with held_ticket(intake, ticket):
        waiting = asyncio.create_task(intake.ask("POST", path, {"to": "resolved"}, status=409))
        await intake.somebody_waits()
        await configure(intake)
    assert (await waiting)["missing"][0]["id"] == "verify"
