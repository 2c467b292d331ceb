"""Merges over a real database: what moves, what follows, what comes back."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from waybill_chassis.clock import ManualClock


async def bodies(intake: Any, ticket: Any) -> list[str]:
    found = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/messages")
    return [message["body"] for message in found["items"]]


async def say(intake: Any, ticket: Any, body: str, kind: str = "reply") -> Any:
    path = f"/v1/tickets/{ticket['id']}/messages"
    return await intake.ask("POST", path, {"body": body, "kind": kind}, status=201)


async def summaries(intake: Any, ticket: Any) -> list[str]:
    found = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    return [line["summary"] for line in found["items"]]


async def merge(intake: Any, source: Any, target: Any, status: int = 200) -> Any:
    path = f"/v1/tickets/{source['id']}/merge"
    return await intake.ask("POST", path, {"into": target["number"]}, status=status)


async def test_the_conversation_moves_and_comes_back(intake: Any, clock: ManualClock) -> None:
    """Notes too; the merged one still shows them; what was said since stays with the survivor."""
    old, young = await intake.open(), await intake.open(priority="high")
    await say(intake, old, "first")
    clock.advance(timedelta(minutes=1))
    await say(intake, young, "second")
    await say(intake, young, "a note", "note")
    before = await intake.read(young)
    await merge(intake, young, old)
    assert await bodies(intake, old) == ["first", "second", "a note"]
    assert await bodies(intake, young) == ["second", "a note"]
    assert f"merged into {old['number']}" in await summaries(intake, young)
    assert f"took in {young['number']}" in await summaries(intake, old)
    clock.advance(timedelta(minutes=1))
    await say(intake, old, "third")
    path = f"/v1/tickets/{young['id']}/merge"
    clock.advance(timedelta(hours=23))
    after = await intake.ask("DELETE", path)
    for name in ("status", "priority", "close_reason", "merged_into", "closed_at"):
        assert after[name] == before[name]
    assert (await intake.read(old))["priority"] == "medium"
    assert await bodies(intake, young) == ["second", "a note"]
    assert await bodies(intake, old) == ["first", "third"]
    *_, told = await intake.told(young)
    assert (told.name, told.message.undone) == ("TicketMerged", True)
    await intake.ask("DELETE", path, status=409)


async def test_a_day_later_a_merge_stays(intake: Any, clock: ManualClock) -> None:
    """The refusal says so; a stale version and a stranger are refused before."""
    old, young = await intake.open(), await intake.open()
    await merge(intake, young, old)
    path = f"/v1/tickets/{young['id']}/merge"
    stale = intake.token() | {"If-Match": '"1"'}
    await intake.ask("DELETE", path, status=412, headers=stale)
    await intake.ask("DELETE", path, status=403, role="submitter", sub="kim@example.com")
    await intake.ask("DELETE", path, status=404, products=["other"])
    clock.advance(timedelta(hours=24, seconds=1))
    answer = await intake.ask("DELETE", path, status=409)
    assert "24 hours" in answer["detail"]
    assert (await intake.read(young))["status"] == "closed"


async def test_what_a_product_says_later_follows_the_merge(intake: Any, record: Any) -> None:
    """A repeated alert counts up the survivor, a message goes there; a chain is followed."""

    async def ask(name: str = "TicketRequested", **body: Any) -> None:
        await intake.take_in(record(json.dumps(body).encode(), name))

    new = {"type": "technical", "title": "Disk full", "description": "On web-1."}
    await ask(**new, external_ref="alert-1")
    (alert,) = (await intake.ask("GET", "/v1/tickets"))["items"]
    middle, last = await intake.open(), await intake.open()
    await merge(intake, alert, middle)
    await merge(intake, middle, last)
    await ask(**new, external_ref="alert-1")
    assert (await intake.read(last))["occurrences"] == 2
    await ask("MessageRequested", external_ref="alert-1", body="still full")
    assert "still full" in await bodies(intake, last)
    assert len((await intake.ask("GET", "/v1/tickets"))["items"]) == 3
    # Its own recovery says nothing about what else hangs on the survivor.
    await ask("ResolutionRequested", external_ref="alert-1")
    assert (await intake.read(last))["status"] == "pending"


async def test_a_reference_that_is_taken_again_holds_an_undoing_up(intake: Any) -> None:
    """Never two open tickets of one external_ref."""
    ref = {"role": "service", "external_ref": "case-7"}
    young, old = await intake.open(**ref), await intake.open()
    await merge(intake, young, old)
    await intake.move(old, "resolved", "closed")
    taken = await intake.open(**ref)
    path = f"/v1/tickets/{young['id']}/merge"
    answer = await intake.ask("DELETE", path, status=409)
    assert taken["number"] in answer["detail"]
    await intake.move(taken, "resolved", "closed")
    assert (await intake.ask("DELETE", path))["status"] == "pending"


async def test_of_simultaneous_undoings_one_happens(intake: Any) -> None:
    """The others are told that it is not merged any more."""
    old, young = await intake.open(), await intake.open()
    await say(intake, young, "hello")
    await merge(intake, young, old)
    answers = await asyncio.gather(
        *(
            intake.tested.client.delete(f"/v1/tickets/{young['id']}/merge", headers=intake.token())
            for _ in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert await bodies(intake, young) == ["hello"]
    assert await bodies(intake, old) == []


async def test_blocking_has_one_direction(intake: Any) -> None:
    """Two tickets never block one another; unlinking takes both ends away."""
    one, other = await intake.open(), await intake.open()
    path = f"/v1/tickets/{one['id']}/links"
    await intake.ask("POST", path, {"ticket": other["id"], "kind": "blocks"}, status=201)
    ends = (await intake.read(other))["links"]
    assert [(link["kind"], link["number"]) for link in ends] == [("blocked_by", one["number"])]
    await intake.ask("POST", path, {"ticket": other["id"], "kind": "blocked_by"}, status=409)
    await intake.ask("DELETE", f"{path}/{other['number']}")
    assert (await intake.read(one))["links"] == (await intake.read(other))["links"] == []
    told = (await intake.told(other))[-1]
    assert [change.field for change in told.message.changes] == ["links"]
    await intake.ask("POST", path, {"ticket": other["id"], "kind": "follow_up"}, status=201)


async def test_complaints_and_suggestions_have_an_outcome(intake: Any) -> None:
    """It is told; other types have none, and a change of type takes it away."""

    async def patch(ticket: Any, status: int = 200, **body: Any) -> Any:
        headers = intake.token() | {"If-Match": "*"}
        path = f"/v1/tickets/{ticket['id']}"
        return await intake.ask("PATCH", path, body, status=status, headers=headers)

    idea = await intake.open(type="suggestion")
    assert (await patch(idea, outcome="planned"))["outcome"] == "planned"
    (change,) = (await intake.told(idea))[-1].message.changes
    assert (change.field, change.after.string_value) == ("outcome", "planned")
    assert (await patch(idea, type="technical"))["outcome"] is None
    answer = await patch(idea, status=422, outcome="done")
    assert answer["errors"][0]["field"] == "outcome"
    await patch(idea, status=422, outcome="perhaps")
