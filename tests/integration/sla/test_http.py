"""The REST edge: who may see what, and what an escalation by hand does."""

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT
from waybill.sla.v1 import events_pb2

HOUR = timedelta(hours=1)
_DURATION = TypeAdapter(timedelta)


async def test_a_ticket_shows_what_is_left_and_its_ledger(sla: Any) -> None:
    """By id and by number, with due times, remaining time, state and every stretch."""
    start = sla.clock.now()
    story = sla.ticket("high")
    opened = story.opened()
    asked = story.moved("awaiting_user", start + HOUR)
    await sla.hear(opened, asked)
    sla.clock.advance(3 * HOUR)
    for name in (story.id, story.ticket.number):
        answer = await sla.client.get(
            f"/v1/tickets/{name}/sla", headers=sla.mint.headers("agent", products=("demo",))
        )
        assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["ticket_id"] == story.id
    assert body["state"] == "paused"
    assert body["resolution"] | {"warned_share": 0} == {
        "state": "paused",
        "due_at": "2026-01-06T09:00:00Z",
        "allowed": "P1D",
        "elapsed": "PT1H",
        "remaining": "PT23H",
        "stopped_at": None,
        "breached_at": None,
        "warned_share": 0,
    }
    assert [(s["kind"], s["status"], s["working_time"], s["event_id"]) for s in body["ledger"]] == [
        ("running", "pending", "PT1H", opened.id),
        ("paused", "awaiting_user", "PT2H", asked.id),
    ]


async def test_a_long_ledger_comes_in_pages_that_add_up(sla: Any) -> None:
    """Each line has terms and cause; what they count for a target is what elapsed of it."""
    start = sla.clock.now()
    story = sla.ticket("low")
    opened = story.opened()
    events = [opened]
    for hour in range(1, 21):
        status = "awaiting_user" if hour % 2 else "in_progress"
        events.append(story.moved(status, start + hour * HOUR))
    edited = story.edited("medium", start + 20 * HOUR + HOUR / 2)
    await sla.hear(*events)
    await sla.hear(edited)
    sla.clock.advance(30 * HOUR)
    agent = sla.mint.headers("agent", products=("demo",))
    lines: list[Any] = []
    cursor = ""
    while cursor is not None:
        path = f"/v1/tickets/{story.id}/sla?limit=4{cursor}"
        body = (await sla.client.get(path, headers=agent)).json()
        lines += body["ledger"]
        cursor = body["next_cursor"] and f"&cursor={body['next_cursor']}"
    assert len(lines) == 22
    assert [line["began"] for line in lines] == ["opened", *["moved"] * 20, "recomputed"]
    assert [line["event_id"] for line in lines] == [event.id for event in (*events, edited)]
    assert {line["terms"]["priority"] for line in lines[:-1]} == {"low"}
    assert lines[-1]["terms"] == {
        "policy": "default",
        "policy_version": 1,
        "calendar": "always",
        "calendar_version": 1,
        "priority": "medium",
        "type": "technical",
    }
    for target in ("response", "resolution"):
        counted = [_DURATION.validate_python(line["counts"].get(target, "PT0S")) for line in lines]
        assert sum(counted, timedelta(0)) == 20 * HOUR
        assert body[target]["elapsed"] == "PT20H"
    wrong = await sla.client.get(f"/v1/tickets/{story.id}/sla?cursor=x", headers=agent)
    assert wrong.status_code == 422


async def test_only_those_see_a_clock_whom_the_ticket_concerns(sla: Any) -> None:
    """Agents of the product and the submitter; to all others there is no such ticket."""
    story = sla.ticket()
    await sla.hear(story.opened())
    path = f"/v1/tickets/{story.id}/sla"

    async def status(*roles: str, **token: Any) -> int:
        headers = sla.mint.headers(*roles, **token)
        return int((await sla.client.get(path, headers=headers)).status_code)

    assert (await sla.client.get(path)).status_code == 401
    assert await status("submitter", sub="sam@example.com", products=()) == 200
    assert await status("submitter", sub="eve@example.com") == 404
    assert await status("agent", products=("other",)) == 404
    assert await status("service", sub="demo", products=("demo",)) == 200


async def test_a_ticket_that_nobody_can_say_anything_of(sla: Any) -> None:
    """No name of a ticket is a 404; one that only intake could know is a 503 while it is away."""
    agent = sla.mint.headers("agent")
    assert (await sla.client.get("/v1/tickets/nonsense/sla", headers=agent)).status_code == 404
    away = await sla.client.get("/v1/tickets/WB-99999/sla", headers=agent)
    assert away.status_code == 503
    assert "Retry-After" in away.headers


async def test_an_escalation_by_hand_is_told_with_who_and_why(sla: Any) -> None:
    """The level's own team, the comment, the person; sent twice under a key it counts once."""
    story = sla.ticket()
    await sla.hear(story.opened())
    headers = sla.mint.headers("agent", sub="ben@example.com") | {"Idempotency-Key": "once"}
    for _ in range(2):
        answer = await sla.client.post(
            f"/v1/tickets/{story.id}/escalations",
            json={"level": "tech_team", "comment": "needs a developer"},
            headers=headers,
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["escalation_level"] == "tech_team"
    _, escalated = await sla.told(story)
    assert isinstance(escalated, events_pb2.TicketEscalated)
    assert escalated.actor.kind == ACTOR_KIND_AGENT
    assert escalated.actor.email == "ben@example.com"
    assert list(escalated.teams) == ["tech_team"]
    assert escalated.comment == "needs a developer"
    assert escalated.previous_level == words.ESCALATION_LEVEL_UNSPECIFIED
    assert escalated.trigger == events_pb2.ESCALATION_TRIGGER_BY_HAND


async def test_a_level_only_rises_until_a_reopening(sla: Any) -> None:
    """A lower one is refused with those that are left; after a reopening all are open again."""
    start = sla.clock.now()
    story = sla.ticket()
    await sla.hear(story.opened())
    path, agent = f"/v1/tickets/{story.id}/escalations", sla.mint.headers("agent")

    async def escalate(level: str, **more: Any) -> Any:
        return await sla.client.post(path, json={"level": level} | more, headers=agent)

    assert (await escalate("management")).status_code == 201
    refused = await escalate("senior_support")
    assert refused.status_code == 409
    assert refused.json()["allowed_levels"] == ["cross_department"]
    assert (await escalate("cross_department")).status_code == 422
    both = await escalate("cross_department", teams=["tech_team", "billing"])
    assert both.status_code == 201
    await sla.hear(story.moved("resolved", start + HOUR))
    assert (await escalate("tech_team")).status_code == 409
    await sla.hear(story.moved("in_progress", start + 2 * HOUR))
    assert (await escalate("senior_support")).status_code == 201


async def test_a_bad_escalation_changes_nothing(sla: Any) -> None:
    """Unknown levels and fields are named; a submitter may not; nothing is told."""
    story = sla.ticket()
    await sla.hear(story.opened())
    path = f"/v1/tickets/{story.id}/escalations"
    agent, submitter = sla.mint.headers("agent"), sla.mint.headers("submitter")
    for body, field in (({"level": "ceo"}, "level"), ({"level": "tech_team", "x": 1}, "x")):
        answer = await sla.client.post(path, json=body, headers=agent)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field
    answer = await sla.client.post(path, json={"level": "tech_team"}, headers=submitter)
    assert answer.status_code == 403
    assert await sla.names(story) == ["ClockStarted"]


async def test_the_policies_in_force_are_shown(sla: Any) -> None:
    """The default policy, as the migration seeds it."""
    answer = await sla.client.get("/v1/sla/policies", headers=sla.mint.headers("agent"))
    (policy,) = answer.json()["items"]
    assert policy["name"] == "default"
    assert policy["targets"]["urgent"] == {"response": "PT15M", "resolution": "PT4H"}


async def test_what_is_at_risk_is_ordered_by_what_is_left(sla: Any) -> None:
    """The least time first, page by page, of the caller's products only."""
    first, second = sla.ticket("urgent"), sla.ticket("high")
    other = sla.ticket("urgent")
    other.ticket.product = "other"
    fine = sla.ticket("low")
    await sla.hear(second.opened(), second.replied(sla.clock.now()))
    await sla.pass_time(hours=18)
    for story in (first, other, fine):
        for moment in (story.ticket.created_at, story.ticket.status_since):
            moment.FromDatetime(sla.clock.now())
    await sla.hear(first.opened(), other.opened(), fine.opened())
    await sla.pass_time(minutes=12)
    agent = sla.mint.headers("agent", products=("demo",))
    seen, cursor = [], ""
    while cursor is not None:
        page = (await sla.client.get(f"/v1/sla/at-risk?limit=1{cursor}", headers=agent)).json()
        seen += [(item["number"], item["target"], item["remaining"]) for item in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == [
        (first.ticket.number, "response", "PT3M"),
        (second.ticket.number, "resolution", "PT5H48M"),
    ]
