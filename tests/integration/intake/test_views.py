"""What saved views promise."""

from typing import Any
from uuid import uuid4

import pytest

ANA: dict[str, Any] = {"products": ("shop",)}
BEN: dict[str, Any] = {"sub": "ben@example.com", "products": ("shop", "bank")}
LEE: dict[str, Any] = {"role": "lead", "sub": "lee@example.com", "products": ("shop",)}
KIM: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}


async def save(intake: Any, body: dict[str, Any], **who: Any) -> dict[str, Any]:
    view: dict[str, Any] = await intake.ask("POST", "/v1/views", body, status=201, **who)
    return view


async def test_a_view_keeps_filter_and_sorting(intake: Any) -> None:
    """Its list is that of the same question asked in full; what is given besides replaces."""
    await intake.open(title="a", priority="low")
    await intake.open(title="b", priority="urgent")
    await intake.open(title="c", priority="high", product="bank")
    view = await save(
        intake,
        {"name": "Mine", "filter": {"product": "shop", "unassigned": True}, "sort": "priority"},
        **BEN,
    )
    assert view["filter"] == {"product": ["shop"], "unassigned": True}
    assert (view["sort"], view["order"], view["version"]) == ("priority", "desc", 1)

    async def titles(more: str = "") -> str:
        page = await intake.ask("GET", f"/v1/tickets?view={view['id']}{more}", **BEN)
        return "".join(ticket["title"] for ticket in page["items"])

    assert await titles() == "ba"
    assert await titles("&order=asc") == "ab"
    assert await titles("&product=bank") == "c"
    assert await titles("&sort=created&priority=low") == "a"
    page = await intake.ask("GET", f"/v1/tickets?view={view['id']}&limit=1", **BEN)
    changed = intake.token(**BEN) | {"If-Match": '"1"'}
    path = f"/v1/views/{view['id']}"
    await intake.ask("PATCH", path, {"filter": {"priority": ["low"]}}, headers=changed)
    await intake.ask("PATCH", path, {"name": "Else"}, status=412, headers=changed)
    assert await titles() == "a"
    # The list that the cursor was of is there no more.
    cursor = page["next_cursor"]
    await intake.ask("GET", f"/v1/tickets?view={view['id']}&cursor={cursor}", status=422, **BEN)


async def test_counts_of_all_views_come_in_one_answer(intake: Any) -> None:
    """Each counts what the one who asks may see."""
    await intake.open(priority="low")
    await intake.open(priority="low", product="bank")
    await save(intake, {"name": "Low", "filter": {"priority": "low"}}, **BEN)
    team = {"name": "All", "filter": {}, "team": "support", "products": ["shop"]}
    await save(intake, team, **LEE)
    await save(intake, {"name": "None", "filter": {"status": ["closed"]}}, **BEN)
    page = await intake.ask("GET", "/v1/views?counts=true", **BEN)
    assert {view["name"]: view["count"]["text"] for view in page["items"]} == {
        "Low": "2", "All": "2", "None": "0",
    }  # fmt: skip
    page = await intake.ask("GET", "/v1/views?counts=true&limit=1", **ANA)
    assert [(view["name"], view["count"]["count"]) for view in page["items"]] == [("All", 1)]


async def test_own_views_are_nobody_elses_and_teams_views_are_their_leads(intake: Any) -> None:
    """What is not there for somebody is a 404, what they may only use a 403 to change."""
    own = await save(intake, {"name": "Mine", "filter": {}}, **ANA)
    for who in (BEN, LEE, {"role": "admin", "sub": "root@example.com"}):
        await intake.ask("GET", f"/v1/views/{own['id']}", status=404, **who)
        await intake.ask("GET", f"/v1/tickets?view={own['id']}", status=404, **who)
    team = {"name": "All", "filter": {}, "team": "support", "products": ["shop"]}
    await intake.ask("POST", "/v1/views", team, status=403, **ANA)
    await intake.ask("POST", "/v1/views", team | {"products": ["bank"]}, status=403, **LEE)
    await intake.ask("POST", "/v1/views", {**team, "products": None}, status=422, **LEE)
    ours = await save(intake, team, **LEE)
    path = f"/v1/views/{ours['id']}"
    assert await intake.ask("GET", path, **BEN) == ours
    await intake.ask("GET", path, status=404, products=("bank",))
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        for who, status in (
            (ANA, 403),
            ({"products": ("bank",)}, 404),
            (KIM, 403),
            ({**LEE, "products": ("bank",)}, 404),
        ):
            headers = intake.token(**{"role": "agent", **who}) | {"If-Match": "*"}
            await intake.ask(method, path, body, status=status, headers=headers)
    await intake.ask("PATCH", path, {"name": "x"}, status=428, **LEE)
    headers = intake.token(**LEE) | {"If-Match": '"1"'}
    changed = await intake.ask("PATCH", path, {"name": "Ours"}, headers=headers)
    assert (changed["name"], changed["version"]) == ("Ours", 2)
    answer = await intake.tested.client.delete(path, headers=headers | {"If-Match": '"2"'})
    assert answer.status_code == 204
    await intake.ask("GET", path, status=404, **LEE)
    for method, path in (("GET", "/v1/views"), ("POST", "/v1/views")):
        await intake.ask(method, path, {"name": "x", "filter": {}}, status=403, **KIM)
    await intake.ask("GET", f"/v1/views/{uuid4()}", status=404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"status": ["lost"]}}, "filter.status.0"),
        ({"filter": {"created_from": "soon"}}, "filter.created_from"),
        ({"filter": {"q": "a\x00b"}}, "filter.q"),
        ({"filter": {"q": "-b"}}, "q"),
        ({"filter": []}, "filter"),
        ({"name": " "}, "name"),
        ({"sort": "luck"}, "sort"),
        ({"products": ["shop"]}, "products"),
    ],
)
async def test_a_wrong_view_is_not_saved(intake: Any, change: Any, field: str) -> None:
    """Its filter has to be one that a list would take."""
    body = {"name": "x", "filter": {}} | change
    problem = await intake.ask("POST", "/v1/views", body, status=422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await intake.count("saved_views") == 0
