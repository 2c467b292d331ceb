"""What is at risk, as a list and live."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from waybill_chassis.testing.services import on_a_port
from waybill_sla.consumers import handle

MINUTE = timedelta(minutes=1)
LIVE = {"Accept": "text/event-stream"}


class Stream:
    """A stream as a browser reads it."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.last_id = ""

    async def event(self) -> tuple[str, Any]:
        name, data = "", ""
        async for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif field == "id":
                self.last_id = value
            elif not line and name:
                return name, json.loads(data)
        raise AssertionError("the stream has ended")

    async def until(self, last: str) -> list[tuple[str, str]]:
        """The events up to one of this name, each with its ticket's number."""
        found: list[tuple[str, str]] = []
        async with asyncio.timeout(30):
            while not found or found[-1][0] != last:
                name, data = await self.event()
                found.append((name, data.get("number", "")))
        return found


@pytest.fixture
async def address(sla: Any) -> AsyncIterator[str]:
    async with on_a_port(sla.service) as found:
        yield found


@pytest.fixture
def watching(sla: Any, address: str) -> Any:
    """Opens a stream for a caller."""

    @asynccontextmanager
    async def open(headers: dict[str, str], query: str = "") -> AsyncIterator[Stream]:
        async with (
            httpx.AsyncClient(timeout=20) as client,
            client.stream("GET", f"{address}/v1/sla/at-risk{query}", headers=headers) as response,
        ):
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            yield Stream(response)

    return open


async def at_risk(sla: Any, **fields: Any) -> Any:
    """An urgent ticket of which 12 of 15 minutes are used up."""
    story = sla.ticket("urgent")
    for name, value in fields.items():
        setattr(story.ticket, name, value)
    await sla.hear(story.opened())
    await sla.pass_time(minutes=12)
    return story


async def test_a_list_is_narrowed_to_what_is_asked_for(sla: Any) -> None:
    """Several values of a field, `me`, and no product that is not the caller's."""
    story = sla.ticket("urgent")
    now = sla.clock.now()
    await sla.hear(
        story.opened(), story.assigned(now + MINUTE, to="ana@example.com", team="support")
    )
    await sla.pass_time(minutes=12)
    headers = sla.mint.headers("agent", sub="ana@example.com", products=("demo",))

    async def found(query: str) -> int:
        answer = await sla.client.get(f"/v1/sla/at-risk?{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        return len(answer.json()["items"])

    (item,) = (await sla.client.get("/v1/sla/at-risk", headers=headers)).json()["items"]
    assert (item["agent"], item["team"], item["remaining"]) == (
        "ana@example.com",
        "support",
        "PT3M",
    )
    for query in (
        "agent=me",
        "agent=ben@example.com&agent=me",
        "team=support&team=other",
        "priority=urgent&type=technical&target=response&product=demo",
    ):
        assert await found(query) == 1, query
    for query in ("agent=ben@example.com", "team=other", "priority=low", "target=resolution"):
        assert await found(query) == 0, query
    answer = await sla.client.get("/v1/sla/at-risk?product=shop", headers=headers)
    assert answer.status_code == 404
    for query, field in (("nonsense=1", "nonsense"), ("priority=x", "priority.0")):
        answer = await sla.client.get(f"/v1/sla/at-risk?{query}", headers=headers)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field


async def test_who_watches_sees_all_and_then_each_change_in_its_order(
    sla: Any, watching: Any
) -> None:
    """First what there is; then what appears, changes and leaves, with the state it is in then."""
    first = await at_risk(sla)
    headers = sla.mint.headers("agent", products=("demo",)) | LIVE
    async with watching(headers) as stream:
        assert await stream.until("current") == [
            ("snapshot", ""),
            ("appeared", first.ticket.number),
            ("current", ""),
        ]
        second = await at_risk(sla)
        assert (await stream.until("current"))[-2] == ("appeared", second.ticket.number)
        await sla.hear(second.assigned(sla.clock.now(), to="ben@example.com", team="support"))
        name, data = await stream.event()
        assert (name, data["agent"], data["remaining"]) == ("changed", "ben@example.com", "PT3M")
        await stream.until("current")
        await sla.hear(second.replied(sla.clock.now()))
        name, data = await stream.event()
        assert (name, data["number"], data["state"]) == ("left", second.ticket.number, "met")


async def test_nobody_sees_more_live_than_in_the_list(sla: Any, watching: Any) -> None:
    """Another product's tickets are not told; to whom a ticket no longer belongs it leaves."""
    headers = sla.mint.headers("agent", sub="ana@example.com", products=("demo",)) | LIVE
    async with watching(headers, "?agent=me") as stream:
        await stream.until("current")
        await at_risk(sla, product="shop")
        story = await at_risk(sla)
        await sla.hear(story.assigned(sla.clock.now(), to="ana@example.com"))
        assert await stream.until("current") == [
            ("appeared", story.ticket.number),
            ("current", ""),
        ]
        await sla.hear(story.assigned(sla.clock.now(), to="ben@example.com"))
        assert (await stream.event())[0] == "left"


async def test_who_comes_back_misses_nothing(sla: Any, watching: Any) -> None:
    """With the last id only what happened meanwhile, in order; with a strange one all anew."""
    headers = sla.mint.headers("agent", products=("demo",)) | LIVE
    first = await at_risk(sla)
    async with watching(headers) as stream:
        await stream.until("current")
        last = stream.last_id
    second = await at_risk(sla)
    await sla.hear(first.replied(sla.clock.now() - MINUTE))
    async with watching(headers | {"Last-Event-ID": last}) as stream:
        told = await stream.until("current")
        assert [one for one in told if one[1] == second.ticket.number] == [
            ("appeared", second.ticket.number)
        ]
        assert [name for name, number in told if number == first.ticket.number] == ["left"]
        assert "snapshot" not in dict(told)
    async with watching(headers | {"Last-Event-ID": "nonsense"}) as stream:
        assert (await stream.event())[0] == "snapshot"


async def test_changes_of_transactions_that_overlap_are_all_told(sla: Any, watching: Any) -> None:
    """What commits later than what began after it is not skipped."""
    headers = sla.mint.headers("agent", products=("demo",)) | LIVE
    first, second = sla.ticket("urgent"), sla.ticket("urgent")
    await sla.hear(first.opened(), second.opened())
    await sla.pass_time(minutes=12)
    async with watching(headers) as stream:
        await stream.until("current")
        async with sla.database.unit_of_work() as slow:
            await handle(slow, [first.replied(sla.clock.now())])
            await sla.hear(second.replied(sla.clock.now()))
            name, data = await stream.event()
            assert (name, data["number"]) == ("left", second.ticket.number)
        assert (await stream.until("left"))[-1][1] == first.ticket.number


async def test_a_stream_ends_with_the_token_and_with_the_process(sla: Any, watching: Any) -> None:
    """And says why, so that whoever reads it knows what to do."""
    headers = sla.mint.headers("agent", products=("demo",), seconds=2) | LIVE
    async with watching(headers) as stream:
        await stream.until("current")
        assert await stream.event() == ("end", {"reason": "token_expired"})
    async with watching(sla.mint.headers("agent") | LIVE) as stream:
        await stream.until("current")
        sla.service.rt.health.stop()
        assert await stream.event() == ("end", {"reason": "stopping"})
