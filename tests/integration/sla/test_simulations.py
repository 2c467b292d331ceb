"""Past tickets replayed under a proposal: what would have been met, and nothing is changed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs
from waybill_sla import simulating

HOUR = timedelta(hours=1)
PRIORITIES = ("urgent", "high", "medium", "low")
FAST = {priority: {"response": "PT1H", "resolution": "P5D"} for priority in PRIORITIES}
EASY = {priority: {"response": "P2D", "resolution": "P5D"} for priority in PRIORITIES}


@pytest.fixture
def admin(sla: Any) -> dict[str, str]:
    headers: dict[str, str] = sla.mint.headers("admin", products=("*",))
    return headers


async def simulate(sla: Any, admin: dict[str, str], **body: Any) -> dict[str, Any]:
    """Ask, let the work be done, and read what was found."""
    asked = await sla.client.post("/v1/sla/simulations", json=body, headers=admin)
    assert asked.status_code == 202, asked.text
    assert asked.json()["done"] == 0
    await simulating.work(sla.database)
    answer = await sla.client.get(asked.headers["location"], headers=admin)
    found: dict[str, Any] = answer.json()
    assert (found["state"], found["failure"]) == ("done", None), found
    return found


def scores(found: dict[str, Any], target: str, side: str) -> dict[str, tuple[int, int]]:
    """Met and breached by priority."""
    return {
        one["priority"]: (one[side]["met"], one[side]["breached"])
        for one in found["targets"]
        if one["target"] == target
    }


async def test_what_would_have_been_met_is_shown_and_nothing_changes(
    sla: Any, admin: dict[str, str]
) -> None:
    """Attainment before and after, breaches gained and lost, and whose policy would change."""
    quick, slow, urgent = sla.ticket(), sla.ticket(), sla.ticket("urgent")
    elsewhere = sla.ticket()
    elsewhere.ticket.product = "shop"
    await sla.hear(*(story.opened() for story in (quick, slow, urgent, elsewhere)))
    await sla.pass_time(minutes=30)
    await sla.hear(quick.replied(sla.clock.now()), urgent.replied(sla.clock.now()))
    await sla.pass_time(hours=5)
    await sla.hear(slow.replied(sla.clock.now()))
    await sla.pass_time(hours=1)
    gold = {"name": "fast", "selector": {"product": "demo"}, "targets": FAST}
    before = await outbox(sla)
    found = await simulate(sla, admin, policies=[gold], filters={"product": "demo"})
    assert (found["total"], found["done"], found["approximated"]) == (3, 3, 0)
    assert scores(found, "response", "before") == {"urgent": (0, 1), "medium": (2, 0)}
    assert scores(found, "response", "after") == {"urgent": (1, 0), "medium": (1, 1)}
    gained, lost = found["breaches_gained"], found["breaches_lost"]
    assert [(one["ticket_id"], one["target"]) for one in gained["first"]] == [(slow.id, "response")]
    assert {(one["ticket_id"], one["target"]) for one in lost["first"]} == {
        (urgent.id, "response"),
        (urgent.id, "resolution"),
    }
    assert (gained["count"], lost["count"]) == (1, 2)
    assert found["other_policy"]["count"] == 3
    assert {(one["before"], one["after"]) for one in found["other_policy"]["first"]} == {
        ("default", "fast")
    }
    rungs = {(one["rung"]): (one["before"], one["after"]) for one in found["escalations"]}
    assert rungs["response_breached"] == (0, 1)
    assert await outbox(sla) == before
    listed = (await sla.client.get("/v1/sla/policies", headers=admin)).json()["items"]
    assert [one["name"] for one in listed] == ["default"]


async def outbox(sla: Any) -> list[Any]:
    async with sla.database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM timers), "
                "(SELECT sum(version) FROM clocks), (SELECT count(*) FROM redatings)"
            )
        )
        return list(rows.one())


async def test_a_calendar_and_a_ladder_are_tried_with_the_policy_that_names_them(
    sla: Any, admin: dict[str, str]
) -> None:
    """What nobody worked on at night is met, and the new rung fires as often as it says."""
    sla.clock.set(sla.clock.now().replace(hour=20, minute=0, second=0))
    left, taken = sla.ticket("urgent"), sla.ticket("urgent")
    await sla.hear(left.opened(), taken.opened())
    await sla.pass_time(minutes=2)
    await sla.hear(taken.assigned(sla.clock.now()))
    await sla.pass_time(hours=13)
    await sla.hear(left.replied(sla.clock.now()), taken.replied(sla.clock.now()))
    day = [{"from": "09:00", "to": "17:00"}]
    week = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    office = {"name": "office", "time_zone": "UTC", "hours": dict.fromkeys(week, day)}
    rung = {"name": "left", "when": {"trigger": "unassigned", "after": "PT10M"}}
    night = {"name": "night", "rungs": [rung | {"level": "management"}]}
    policy = {"name": "day", "selector": {"product": "demo"}, "targets": FAST}
    policy |= {"calendar": "office", "ladder": "night"}
    found = await simulate(
        sla, admin, calendars=[office], ladders=[night], policies=[policy], limit=5
    )
    assert scores(found, "response", "before") == {"urgent": (0, 2)}
    assert scores(found, "response", "after") == {"urgent": (2, 0)}
    fired = {(o["ladder"], o["rung"]): (o["before"], o["after"]) for o in found["escalations"]}
    assert fired["night", "left"] == (0, 1)
    assert fired["default", "urgent_unassigned"] == (1, 0)
    assert (await sla.client.get("/v1/sla/calendars/office", headers=admin)).status_code == 404
    edited = {"name": "default", "rungs": [rung | {"level": "tech_team"}]}
    found = await simulate(sla, admin, ladders=[edited])
    fired = {(o["ladder"], o["rung"]): (o["before"], o["after"]) for o in found["escalations"]}
    assert fired["default", "left"] == (0, 1)
    assert fired["default", "urgent_unassigned"] == (1, 0)
    assert (await sla.client.get("/v1/sla/ladders/default", headers=admin)).json()["version"] == 1
    redating = await sla.client.get("/v1/sla/redating", headers=admin)
    assert redating.json()["items"] == []


async def test_a_ticket_from_before_facts_were_kept_is_replayed_from_its_ledger(
    sla: Any, admin: dict[str, str]
) -> None:
    """As near as that goes, and said so."""
    story = sla.ticket()
    await sla.hear(story.opened())
    await sla.pass_time(hours=3)
    await sla.hear(story.replied(sla.clock.now()))
    await sla.hear(story.moved("awaiting_user", sla.clock.now()))
    await sla.pass_time(hours=70)
    await sla.hear(story.moved("in_progress", sla.clock.now()))
    await sla.pass_time(hours=2)
    await sla.hear(story.moved("resolved", sla.clock.now()))
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text("DELETE FROM heard"))
    found = await simulate(
        sla, admin, policies=[{"name": "x", "selector": {"tag": "x"}, "targets": EASY}]
    )
    assert found["approximated"] == 1
    for target in ("response", "resolution"):
        assert scores(found, target, "before") == {"medium": (1, 0)}


async def test_a_simulation_goes_on_where_another_process_has_left_it(
    sla: Any, admin: dict[str, str]
) -> None:
    """Batch by batch, with what was agreed when it was asked for."""
    stories = [sla.ticket() for _ in range(5)]
    await sla.hear(*(story.opened() for story in stories))
    await sla.pass_time(hours=30)
    body = {"policies": [{"name": "x", "selector": {"tag": "x"}, "targets": EASY}], "limit": 4}
    asked = await sla.client.post("/v1/sla/simulations", json=body, headers=admin)
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text("UPDATE policies SET removed = false"))
    for most in (1, 2, 3):
        await simulating.work(sla.database, batch=most, batches=1)
        done = (await sla.client.get(asked.headers["location"], headers=admin)).json()
        assert done["done"] == min(4, {1: 1, 2: 3, 3: 4}[most])
    assert done["state"] == "done"
    assert scores(done, "response", "before") == {"medium": (0, 4)}
    items = (await sla.client.get("/v1/sla/simulations", headers=admin)).json()["items"]
    assert items == [done]


async def test_a_simulation_that_fails_says_so_and_holds_up_none(
    sla: Any, admin: dict[str, str]
) -> None:
    """With the reason; a ticket that cannot be replayed is only left out."""
    story, broken = sla.ticket(), sla.ticket()
    await sla.hear(story.opened(), broken.opened())
    await sla.pass_time(minutes=1)
    async with sla.database.unit_of_work() as uow:
        await uow.execute(
            text("UPDATE heard SET fact = fact || '{\"riddle\": 1}' WHERE ticket_id = :id"),
            {"id": UUID(broken.id)},
        )
    body = {"policies": [{"name": "x", "selector": {"tag": "x"}, "targets": EASY}]}
    failing = await sla.client.post("/v1/sla/simulations", json=body, headers=admin)
    async with sla.database.unit_of_work() as uow:
        await uow.execute(text("UPDATE simulations SET agreed = '{}'"))
    with capture_logs():
        found = await simulate(sla, admin, **body)
    assert (found["done"], found["left_out"]) == (2, 1)
    failed = (await sla.client.get(failing.headers["location"], headers=admin)).json()
    assert (failed["state"], failed["done"]) == ("failed", 0)
    assert "ladders" in failed["failure"]


async def test_a_proposal_that_cannot_be_is_refused_with_its_place(
    sla: Any, admin: dict[str, str]
) -> None:
    """As it would be if it were meant."""
    policy = {"name": "x", "selector": {"tag": "x"}, "targets": FAST}
    for body, field in (
        ({}, "policies"),
        ({"policies": [policy | {"ladder": "none"}]}, "policies.0.ladder"),
        ({"policies": [policy, policy]}, "policies.1.name"),
        ({"policies": [policy], "limit": 50_001}, "limit"),
        ({"policies": [policy], "filters": {"type": "riddle"}}, "filters.type"),
        (
            {
                "policies": [policy],
                "filters": {"from": "2026-01-05T09:00:00Z", "to": "2026-01-05T09:00:00Z"},
            },
            "filters.to",
        ),
        (
            {"calendars": [{"name": "c", "time_zone": "Moon/Base", "hours": {}}]},
            "calendars.0.time_zone",
        ),
    ):
        refused = await sla.client.post("/v1/sla/simulations", json=body, headers=admin)
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["field"] == field, refused.text
    listed = await sla.client.get("/v1/sla/simulations", headers=admin)
    assert listed.json()["items"] == []
