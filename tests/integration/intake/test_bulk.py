"""What bulk changes promise."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

KIM: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}
BULK = "/v1/tickets/bulk"


async def test_each_ticket_has_a_result_of_its_own(intake: Any) -> None:
    """What is refused for one keeps no other back, and each change is told as any other."""
    a, b, closed = [await intake.open(tags=["x"]) for _ in range(3)]
    other = await intake.open(product="bank")
    await intake.move(closed, "resolved", "closed")
    unknown = str(uuid4())
    names = [a["number"].lower(), b["id"], closed["id"], other["id"], unknown, "WB-9", "nonsense"]
    body = {
        "tickets": names,
        "set": {"priority": "high", "add_tags": ["Y"], "remove_tags": ["x"]},
    }
    found = await intake.ask("POST", BULK, body, products=("shop",))
    assert (found["succeeded"], found["failed"]) == (2, 5)
    assert [item["ticket"] for item in found["items"]] == names
    assert [item["version"] for item in found["items"][:2]] == [2, 2]
    problems = [item["problem"] and item["problem"]["status"] for item in found["items"]]
    assert problems == [None, None, 409, 404, 404, 404, 404]
    assert found["items"][3]["id"] is None
    for ticket in (a, b):
        now = await intake.read(ticket)
        assert (now["priority"], now["tags"], now["version"]) == ("high", ["y"], 2)
        assert await intake.names(ticket) == ["TicketOpened", "TicketEdited"]
    assert (await intake.read(other))["version"] == 1
    assert (await intake.ask("GET", "/v1/tickets/count?tag=y"))["count"] == 2


async def test_many_tickets_move_at_once(intake: Any) -> None:
    """Those that cannot say what they could do instead; one named twice moves once."""
    a, b = await intake.open(), await intake.open()
    await intake.move(b, "resolved")
    body = {
        "tickets": [a["id"], b["id"], a["number"]],
        "transition": {"to": "resolved", "comment": "The fix is out."},
    }
    found = await intake.ask("POST", BULK, body)
    assert [item["version"] for item in found["items"]] == [2, 2, 2]
    assert found["items"][1]["problem"]["allowed"] == ["in_progress", "closed"]
    assert (await intake.read(a))["status"] == "resolved"


async def test_a_bulk_change_takes_as_many_statements_for_many_as_for_few(intake: Any) -> None:
    """And is done once for each Idempotency-Key."""
    tickets = [(await intake.open())["id"] for _ in range(30)]
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    engine = intake.tested.rt.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    counts = []
    for part in (tickets[:2], tickets[2:]):
        statements.clear()
        await intake.ask("POST", BULK, {"tickets": part, "set": {"language": "de"}})
        counts.append(len(statements))
    assert counts[1] <= counts[0]
    headers = intake.token() | {"Idempotency-Key": "k"}
    body = {"tickets": tickets, "set": {"add_tags": ["z"]}}
    first = await intake.ask("POST", BULK, body, headers=headers)
    assert await intake.ask("POST", BULK, body, headers=headers) == first
    assert {item["version"] for item in first["items"]} == {3}
    body["tickets"] = tickets[:1]
    await intake.ask("POST", BULK, body, status=422, headers=headers)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tickets": []}, "tickets"),
        ({"tickets": ["WB-1"] * 1001}, "tickets"),
        ({"set": None}, "set"),
        ({"transition": {"to": "closed"}}, "set"),
        ({"set": {}}, "set"),
        ({"set": {"status": "closed"}}, "set.status"),
        ({"set": {"priority": "high", "title": "x"}}, "set.title"),
    ],
)
async def test_a_wrong_bulk_change_changes_nothing(intake: Any, change: Any, field: str) -> None:
    """422 with the field."""
    ticket = await intake.open()
    body = {"tickets": [ticket["id"]], "set": {"priority": "high"}} | change
    problem = await intake.ask("POST", BULK, body, status=422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await intake.read(ticket))["version"] == 1


async def test_submitters_change_nothing_in_bulk(intake: Any) -> None:
    """Not even their own."""
    ticket = await intake.open()
    body = {"tickets": [ticket["id"]], "set": {"priority": "high"}}
    await intake.ask("POST", BULK, body, status=403, **KIM)
