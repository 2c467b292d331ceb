"""Policies and ladders that admins write: which tickets they count for, and what is refused."""

from datetime import timedelta
from typing import Any

from waybill_sla import redating
from waybill_sla.agreed import agreement

HOUR = timedelta(hours=1)


def targets(response: str, resolution: str = "P5D") -> dict[str, Any]:
    times = {"response": response, "resolution": resolution}
    return dict.fromkeys(("urgent", "high", "medium", "low"), times)


async def ask(
    sla: Any, method: str, path: str, body: Any = None, version: int = 0, **params: Any
) -> Any:
    headers = sla.mint.headers("admin", products=("*",)) | {"If-Match": f'"{version}"'}
    path = f"/v1/sla/{path}"
    return await sla.client.request(method, path, json=body, headers=headers, params=params)


async def policy(sla: Any, name: str, response: str, **body: Any) -> Any:
    body = {"name": name, "targets": targets(response)} | body
    answer = await ask(sla, "POST", "policies", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def allowed(sla: Any, story: Any) -> timedelta:
    """How long the response may take by the policy that the ticket got."""
    started = next(m for m in await sla.told(story) if type(m).__name__ == "ClockStarted")
    target = started.clock.targets[0]
    return target.allowed.ToTimedelta()  # type: ignore[no-any-return]


async def test_the_most_specific_policy_is_chosen_and_never_ambiguously(sla: Any) -> None:
    """Who asks for more first; of those that ask as much product, type, tier, tag, priority."""
    await policy(sla, "by-product", "PT2H", selector={"product": "demo"})
    await policy(sla, "by-tag", "PT3H", selector={"tag": "vip"})
    await policy(sla, "by-tier", "PT4H", selector={"tier": "Gold"})
    await policy(sla, "both", "PT5H", selector={"tag": "vip", "tier": "gold"})
    plain, tagged, both = sla.ticket(), sla.ticket(tags=["vip"]), sla.ticket(tags=["vip"])
    both.ticket.submitter.tier = "GOLD"
    elsewhere = sla.ticket(tags=["vip", "other"])
    elsewhere.ticket.product = "shop"
    await sla.hear(*(story.opened() for story in (plain, tagged, both, elsewhere)))
    assert [await allowed(sla, story) for story in (plain, tagged, both, elsewhere)] == [
        2 * HOUR,
        2 * HOUR,
        5 * HOUR,
        3 * HOUR,
    ]


async def test_a_new_version_counts_for_later_clocks_or_with_redate_for_all(sla: Any) -> None:
    """A change of the ticket keeps the version; re-dating gives the open clocks the newest."""
    start = sla.clock.now()
    story = sla.ticket("high")
    await sla.hear(story.opened())
    answer = await ask(sla, "PUT", "policies/default", {"targets": targets("PT5H")}, 1)
    assert (answer.status_code, answer.json()["version"]) == (200, 2), answer.text
    await sla.hear(story.assigned(start), story.edited("medium", start))
    clock = (await sla.told(story))[-1].clock
    assert clock.policy_version == 1
    later = sla.ticket("high")
    await sla.hear(later.opened())
    assert await allowed(sla, later) == 5 * HOUR
    answer = await ask(
        sla, "PUT", "policies/default", {"targets": targets("PT6H")}, 2, redate="true"
    )
    assert answer.json()["redating"] == 2, answer.text
    await redating.work(sla.database, agreement)
    for one in (story, later):
        clock = (await sla.told(one))[-1].clock
        assert clock.policy_version == 3
        assert clock.targets[0].due_at.ToDatetime(tzinfo=start.tzinfo) == start + 6 * HOUR
    shown = (await ask(sla, "GET", "policies/default")).json()
    assert [one["version"] for one in shown["versions"]] == [3, 2, 1]


async def test_a_policy_that_is_removed_is_chosen_no_more_and_stays_with_its_clocks(
    sla: Any,
) -> None:
    """The default one stays; one of the same name takes up its versions."""
    made = await policy(sla, "shop", "PT2H", selector={"product": "demo"})
    story, later = sla.ticket(), sla.ticket()
    await sla.hear(story.opened())
    assert (await ask(sla, "DELETE", "policies/default", version=1)).status_code == 409
    assert (await ask(sla, "DELETE", "policies/shop", version=7)).status_code == 412
    assert (await ask(sla, "DELETE", "policies/shop", version=1)).status_code == 204
    assert (await ask(sla, "GET", "policies/shop")).status_code == 404
    await sla.hear(later.opened(), story.moved("in_progress", sla.clock.now()))
    assert await allowed(sla, later) == 24 * HOUR
    assert next(r.name for r in await sla.timer_rows(story) if r.kind == "due") == "response"
    again = await policy(sla, "shop", "PT3H", selector={"product": "demo"})
    assert (again["id"], again["version"]) == (made["id"], 2)


async def test_a_policy_goes_up_its_own_ladder(sla: Any) -> None:
    """Other teams for other tickets; an edited rung that keeps its name does not fire again."""
    rung = {"name": "late", "when": {"trigger": "breached", "target": "response"}}
    rung |= {"level": "cross_department", "teams": ["billing", "legal"]}
    made = await ask(sla, "POST", "ladders", {"name": "night", "rungs": [rung]})
    assert made.status_code == 201, made.text
    await policy(sla, "shop", "PT2H", selector={"product": "demo"}, ladder="night")
    assert (await ask(sla, "DELETE", "ladders/night", version=1)).status_code == 409
    story = sla.ticket("urgent")
    await sla.hear(story.opened())
    await sla.pass_time(hours=3)
    (told,) = [m for m in await sla.told(story) if type(m).__name__ == "TicketEscalated"]
    assert (list(told.teams), told.rung) == (["billing", "legal"], "late")
    edited = {"rungs": [rung | {"when": {"trigger": "unassigned", "after": "PT1H"}}]}
    assert (await ask(sla, "PUT", "ladders/night", edited, 1)).json()["version"] == 2
    assert (await ask(sla, "PUT", "ladders/night", edited, 2)).json()["version"] == 2


async def test_bad_agreements_are_refused_with_place_and_reason(sla: Any) -> None:
    """And nothing is changed."""
    await policy(sla, "gold", "PT2H", selector={"tier": "gold"})
    good = {"name": "x", "selector": {"tag": "x"}, "targets": targets("PT1H")}
    partial = {"urgent": {"response": "PT1H", "resolution": "PT2H"}}
    for changed, field in (
        ({"targets": targets("-PT1H")}, "targets.urgent.response"),
        ({"targets": targets("PT0S")}, "targets.urgent.response"),
        ({"targets": targets("P9D")}, "targets.urgent.response"),
        ({"targets": targets("P9000D")}, "targets.urgent.response"),
        ({"targets": partial}, "targets.high"),
        ({"calendar": "moon"}, "calendar"),
        ({"ladder": "moon"}, "ladder"),
        ({"selector": {"type": "riddle"}}, "selector.type"),
        ({"selector": {"tier": "GOLD"}}, "selector"),
        ({"selector": {}}, "selector"),
        ({"name": "Not A Slug"}, "name"),
    ):
        answer = await ask(sla, "POST", "policies", good | changed)
        assert answer.status_code == 422, (changed, answer.text)
        assert answer.json()["errors"][0]["field"] == field, answer.text
    rung: dict[str, Any] = {"name": "a", "when": {"trigger": "breached"}, "level": "management"}
    for rungs, field in (
        ([rung, rung], "rungs.1.name"),
        ([rung | {"then": "a"}], "rungs.0.then"),
        ([rung | {"level": "moon"}], "rungs.0.level"),
        ([rung | {"level": "cross_department", "teams": ["a"]}], "rungs.0.teams"),
        ([rung | {"when": {"trigger": "at_risk", "share": 0.8}}], "rungs.0.when.share"),
        ([rung | {"when": {"trigger": "unassigned"}}], "rungs.0.when.after"),
        ([rung | {"when": {"trigger": "unassigned", "after": "PT0S"}}], "rungs.0.when.after"),
        ([rung | {"when": {"trigger": "breached", "share": 0.9}}], "rungs.0.when.share"),
        ([rung | {"when": {"trigger": "by_hand"}}], "rungs.0.when.trigger"),
        ([rung, rung | {"name": "b"}], "rungs.1.level"),
        ([rung | {"name": "b", "level": "tech_team"}, rung], "rungs.0.level"),
    ):
        answer = await ask(sla, "POST", "ladders", {"name": "x", "rungs": rungs})
        assert answer.status_code == 422, (rungs, answer.text)
        assert answer.json()["errors"][0]["field"] == field, answer.text
    listed = (await ask(sla, "GET", "policies")).json()["items"]
    assert [one["name"] for one in listed] == ["default", "gold"]
    assert (await ask(sla, "POST", "policies", good, dry_run="true")).status_code == 201
    assert (await ask(sla, "GET", "policies/x")).status_code == 404


async def due_of(sla: Any, story: Any, started: Any) -> timedelta:
    """How long after its opening the ticket's response is due."""
    due = (await sla.told(story))[-1].clock.targets[0].due_at.ToDatetime(tzinfo=started.tzinfo)
    return due - started  # type: ignore[no-any-return]


async def test_a_new_policy_takes_over_the_open_tickets_that_it_fits(sla: Any) -> None:
    """With `redate`; the weightier one takes over in turn, and a removed one gives back."""
    start = sla.clock.now()
    plain, tagged, elsewhere = sla.ticket(), sla.ticket(tags=["vip"]), sla.ticket()
    elsewhere.ticket.product = "shop"
    await sla.hear(*(story.opened() for story in (plain, tagged, elsewhere)))
    vip = {"name": "vip", "targets": targets("PT3H"), "selector": {"tag": "vip"}}
    answer = await ask(sla, "POST", "policies", vip, redate="true")
    assert (answer.status_code, answer.json()["redating"]) == (201, 1), answer.text
    await redating.work(sla.database, agreement)
    demo = {"targets": targets("PT5H"), "selector": {"product": "demo"}}
    answer = await ask(sla, "POST", "policies", demo | {"name": "demo"})
    assert answer.json()["redating"] is None
    assert [await due_of(sla, one, start) for one in (plain, tagged)] == [24 * HOUR, 3 * HOUR]
    answer = await ask(sla, "PUT", "policies/demo", demo, 1, redate=True)
    assert answer.json()["redating"] == 2, answer.text
    await redating.work(sla.database, agreement)
    found = [await due_of(sla, one, start) for one in (plain, tagged, elsewhere)]
    assert found == [5 * HOUR, 5 * HOUR, 24 * HOUR]
    assert (await ask(sla, "DELETE", "policies/demo", version=1, redate=True)).status_code == 204
    await redating.work(sla.database, agreement)
    found = [await due_of(sla, one, start) for one in (plain, tagged, elsewhere)]
    assert found == [24 * HOUR, 3 * HOUR, 24 * HOUR]


async def test_an_edited_ladder_arms_the_timers_of_open_tickets_anew(sla: Any) -> None:
    """One that nobody has is escalated after the new wait, though nothing else is heard of it."""
    rung = {"name": "left", "when": {"trigger": "unassigned", "after": "P2D"}, "level": "tech_team"}
    await ask(sla, "POST", "ladders", {"name": "night", "rungs": [rung]})
    await policy(sla, "shop", "P4D", selector={"product": "demo"}, ladder="night")
    story, other = sla.ticket(), sla.ticket()
    other.ticket.product = "shop"
    await sla.hear(story.opened(), other.opened())
    before = await sla.told(story)
    rung["when"] = {"trigger": "unassigned", "after": "PT1H"}
    answer = await ask(sla, "PUT", "ladders/night", {"rungs": [rung]}, 1)
    assert (answer.status_code, answer.json()["redating"]) == (200, 1), answer.text
    await redating.work(sla.database, agreement)
    assert await sla.told(story) == before
    (timer,) = [row for row in await sla.timer_rows(story) if row.kind == "unassigned"]
    assert timer.due_at == sla.clock.now() + HOUR
    await sla.pass_time(hours=1)
    assert (await sla.names(story))[-1] == "TicketEscalated"
    (task,) = (await ask(sla, "GET", "redating")).json()["items"]
    assert (task["ladder"], task["done"], task["total"]) == ("night", 1, 1)
    assert task["ended_at"] is not None


async def test_a_calendar_of_a_removed_policy_may_go_once_nothing_open_counts_by_it(
    sla: Any,
) -> None:
    """Until then the policy is named."""
    day = [{"from": "00:00", "to": "24:00"}]
    office = {"name": "office", "time_zone": "UTC", "hours": {"monday": day}}
    assert (await ask(sla, "POST", "calendars", office)).status_code == 201
    await policy(sla, "shop", "PT2H", selector={"product": "demo"}, calendar="office")
    story = sla.ticket()
    await sla.hear(story.opened())
    assert (await ask(sla, "DELETE", "policies/shop", version=1)).status_code == 204
    refused = await ask(sla, "DELETE", "calendars/office", version=1)
    assert (refused.status_code, refused.json()["policies"]) == (409, ["shop"])
    await sla.hear(story.moved("closed", sla.clock.now()))
    assert (await ask(sla, "DELETE", "calendars/office", version=1)).status_code == 204
