"""The report: how targets came out, by whom and why, and that it stays true."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT
from waybill_sla import judging

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ANA, BEN = "ana@example.com", "ben@example.com"


@pytest.fixture
def ask(sla: Any) -> Any:
    """Asks for a report as an agent of the product."""

    async def get(path: str = "", **query: Any) -> Any:
        headers = sla.mint.headers("agent", products=("demo",))
        answer = await sla.client.get(f"/v1/sla/report{path}", headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


async def outcomes(sla: Any) -> list[Any]:
    async with sla.database.reading() as connection:
        rows = await connection.execute(
            text("SELECT * FROM outcomes ORDER BY ticket_id, kind, round")
        )
        return [tuple(row) for row in rows.all()]


def came_out(targets: list[dict[str, Any]]) -> dict[str, tuple[int, int, int]]:
    return {one["target"]: (one["met"], one["breached"], one["open"]) for one in targets}


async def a_day(sla: Any) -> list[Any]:
    """Four urgent tickets: one in time, one that waits, one with an agent, one of elsewhere."""
    start = sla.clock.now()
    stories = [sla.ticket("urgent") for _ in range(4)]
    good, waiting, held, foreign = stories
    foreign.ticket.product = "shop"
    await sla.hear(*(story.opened() for story in stories))
    await sla.hear(
        waiting.queued(start, start, team="support"),
        held.assigned(start + MINUTE, to=BEN, team="tech_team"),
        good.assigned(start + MINUTE, to=ANA, team="support"),
        good.replied(start + 2 * MINUTE),
        good.moved("in_progress", start + 2 * MINUTE),
        good.moved("resolved", start + 3 * MINUTE),
    )
    await sla.pass_time(minutes=20)
    return stories


async def test_a_report_says_how_targets_came_out_and_why(sla: Any, ask: Any) -> None:
    """All in all, by who had them, by cause and by day; open ones apart, others' left out."""
    start = sla.clock.now()
    await a_day(sla)
    period = {
        "from": "2026-01-05T00:00:00Z",
        "to": "2026-01-07T00:00:00Z",
        "interval": "day",
    }
    found = await ask(by="team", **period)
    assert came_out(found["targets"]) == {"response": (1, 2, 0), "resolution": (1, 0, 2)}
    response = found["targets"][0]
    assert (response["due"], response["attainment"], response["timeout_rate"]) == (
        3,
        0.3333,
        0.6667,
    )
    assert found["causes"] == [
        {"cause": "waited_for_agent", "breaches": 1, "share": 0.5},
        {"cause": "waited_in_queue", "breaches": 1, "share": 0.5},
    ]
    groups = {group["key"]: group for group in found["groups"]}
    assert came_out(groups["support"]["targets"])["response"] == (1, 1, 0)
    assert came_out(groups["tech_team"]["targets"])["response"] == (0, 1, 0)
    assert [came_out(part["targets"]).get("response") for part in found["trend"]] == [
        (1, 2, 0),
        None,
    ]
    by_agent = await ask(by="agent", **period)
    assert {group["key"]: group["name"] for group in by_agent["groups"]} == {
        BEN: "Ben",
        ANA: "Ana",
        None: None,
    }
    for query, response_due in (
        ({"agent": ANA}, (1, 0, 0)),
        ({"team": ["support", "tech_team"]}, (1, 2, 0)),
        ({"priority": "low"}, None),
        ({"from": (start + HOUR).isoformat()}, None),
    ):
        found = await ask(**(period | query))
        assert came_out(found["targets"]).get("response") == response_due, query


async def test_the_intervals_are_those_of_the_asked_time_zone(sla: Any, ask: Any) -> None:
    """What is due at 09:15 in UTC is of the day before in Honolulu."""
    await a_day(sla)
    found = await ask(
        **{"from": "2026-01-04T10:00:00Z", "to": "2026-01-06T10:00:00Z"},
        timezone="Pacific/Honolulu",
        interval="day",
        target="response",
    )
    assert [(part["start"], came_out(part["targets"])) for part in found["trend"]] == [
        ("2026-01-04T10:00:00Z", {"response": (1, 2, 0)}),
        ("2026-01-05T10:00:00Z", {}),
    ]


async def test_breaches_are_listed_with_their_evidence(sla: Any, ask: Any) -> None:
    """The latest first, page by page, each once; narrowed by cause."""
    _, waiting, held, _ = await a_day(sla)
    page = await ask("/breaches", limit=1)
    following = await ask("/breaches", limit=1, cursor=page["next_cursor"])
    items = page["items"] + following["items"]
    assert following["next_cursor"] is None
    assert {item["number"]: item["cause"] for item in items} == {
        waiting.ticket.number: "waited_in_queue",
        held.ticket.number: "waited_for_agent",
    }
    (item,) = (await ask("/breaches", cause="waited_for_agent"))["items"]
    assert (item["agent"], item["team"], item["due_at"]) == (
        BEN,
        "tech_team",
        "2026-01-05T09:15:00Z",
    )
    assert item["evidence"]["waited_in_queue"] == "PT1M"
    assert item["evidence"]["waited_for_agent"] == "PT14M"
    assert (await ask("/breaches", cause="paused_late"))["items"] == []


async def test_a_breach_that_is_taken_back_counts_no_more(sla: Any, ask: Any) -> None:
    """An answer that was given in time, however late it is told."""
    start = sla.clock.now()
    _, waiting, _, _ = await a_day(sla)
    await sla.hear(waiting.replied(start + 10 * MINUTE))
    found = await ask(target="response", to="2026-01-06T00:00:00Z")
    assert came_out(found["targets"]) == {"response": (2, 1, 0)}


async def test_a_reopened_ticket_counts_once(sla: Any, ask: Any) -> None:
    """What was met before is open again, for the solution was none; what was breached stays so."""
    good, _, held, _ = await a_day(sla)
    await sla.pass_time(hours=5)
    await sla.hear(held.moved("resolved", sla.clock.now()))
    for story in (good, held):
        await sla.hear(story.moved("in_progress", sla.clock.now()))
    found = await ask(target="resolution", to="2026-01-07T00:00:00Z")
    assert came_out(found["targets"]) == {"resolution": (0, 2, 1)}
    await sla.pass_time(hours=9)
    found = await ask(target="resolution", to="2026-01-07T00:00:00Z")
    assert came_out(found["targets"]) == {"resolution": (0, 3, 0)}


async def test_an_assignment_that_is_heard_late_changes_the_cause(sla: Any, ask: Any) -> None:
    """The topics are not ordered against each other."""
    start = sla.clock.now()
    _, waiting, _, _ = await a_day(sla)
    await sla.hear(waiting.assigned(start + 2 * MINUTE, to=ANA, team="support"))
    found = (await ask("/breaches"))["items"]
    assert {item["cause"] for item in found} == {"waited_for_agent"}
    assert {item["agent"] for item in found} == {ANA, BEN}


async def test_what_nobody_was_there_for_is_named_so(sla: Any, ask: Any) -> None:
    """By who of the team was at work, as routing told."""
    start = sla.clock.now()
    story = sla.ticket("urgent")
    await sla.hear(
        story.arrived(ANA, "available", start - HOUR, 1, "support"),
        story.arrived(ANA, "offline", start + MINUTE, 2, "support"),
    )
    await sla.hear(story.opened(), story.queued(start, start, team="support"))
    await sla.pass_time(minutes=20)
    (item,) = (await ask("/breaches"))["items"]
    assert (item["cause"], item["evidence"]["outside_staffing"]) == ("outside_staffing", "PT14M")


async def test_a_rebuild_gives_the_same_numbers(sla: Any) -> None:
    """Whatever had happened to them; earlier questions too."""
    start = sla.clock.now()
    good, _, held, _ = await a_day(sla)
    await sla.hear(held.edited("high", start + 21 * MINUTE))
    await sla.pass_time(hours=5)
    await sla.hear(held.moved("resolved", start + 5 * HOUR))
    await sla.hear(held.moved("in_progress", sla.clock.now()), good.edited("low", start + HOUR))
    before = await outcomes(sla)
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text("UPDATE outcomes SET cause = NULL, evidence = NULL, team = 'x'"))
        await uow.execute(text("DELETE FROM outcomes WHERE kind = 'response'"))
    headers = sla.mint.headers("admin")
    answer = await sla.client.post("/v1/sla/report/rebuild", headers=headers)
    assert answer.status_code == 202
    await judging.rebuild(sla.database, batch=1)
    assert await outcomes(sla) == before
    async with sla.database.reading() as connection:
        state = (await connection.execute(text("SELECT asked_at, done_at FROM judging"))).one()
    assert (state.asked_at, state.done_at) == (None, sla.clock.now())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"timezone": "Mars/Base"}, "timezone"),
        (
            {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "interval": "hour"},
            "interval",
        ),
        ({"by": "colour"}, "by"),
        ({"cursor": "x"}, "cursor"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    sla: Any, query: dict[str, str], field: str
) -> None:
    """With the field that is wrong."""
    answer = await sla.client.get("/v1/sla/report", headers=sla.mint.headers("agent"), params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_each_wait_for_news_counts_by_itself(sla: Any, ask: Any) -> None:
    """Also several that begin and end in one batch; and all of them go by the ticket's type."""
    targets = {
        priority: {"response": "PT1H", "resolution": "P1D", "update": "PT30M"}
        for priority in ("urgent", "high", "medium", "low")
    }
    answer = await sla.client.put(
        "/v1/sla/policies/default",
        headers=sla.mint.headers("admin") | {"If-Match": "*"},
        json={"targets": targets},
    )
    assert answer.status_code == 200, answer.text
    start, story = sla.clock.now(), sla.ticket()
    events = [story.opened()]
    for number in (1, 2, 5):
        moment = start + number * 10 * MINUTE
        story.ticket.last_public_message_at.FromDatetime(moment)
        story.ticket.last_public_message_by = ACTOR_KIND_AGENT
        events.append(story.replied(moment))
    await sla.pass_time(minutes=60)
    await sla.hear(*events)
    found = await ask(target="update", to="2026-01-06T00:00:00Z")
    assert came_out(found["targets"]) == {"update": (3, 0, 1)}
    before = await outcomes(sla)
    await sla.client.post("/v1/sla/report/rebuild", headers=sla.mint.headers("admin"))
    await judging.rebuild(sla.database)
    assert await outcomes(sla) == before
    await sla.hear(story.edited("low", sla.clock.now()))
    found = await ask(target="update", to="2026-01-06T00:00:00Z", by="priority")
    assert {group["key"] for group in found["groups"]} == {"low"}
