"""Rules over REST: written, put in order, pointed at, tried, and what tickets make of them."""

from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1.ticket_pb2 import Submitter

RULES = "/v1/routing-rules"


@pytest.fixture
async def routing(routing_and_intake: Any) -> Any:
    """Routing that can reach an intake."""
    return routing_and_intake


async def add(routing: Any, name: str, queue: str = "tech_team", **asked: Any) -> dict[str, Any]:
    answer = await routing.call("POST", RULES, {"name": name, "queue": queue} | asked)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def remarks(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["rule"], one["oddity"]) for one in answer["remarks"]]


async def test_tickets_go_where_the_first_rule_that_fits_leads(routing: Any) -> None:
    """By tags, language, tier and words; of the text nothing is kept."""
    await add(routing, "words", "management", position=1, text="credit card*")
    await add(routing, "vips", "senior_support", position=2, tier=["gold"], tags_all=["vip"])
    await add(routing, "dutch", "tech_team", position=3, language="NL")
    gold = Submitter(id="p", email="kim@example.com", tier="Gold")
    opened = [
        (await routing.open(title="Help", description="All my Credit Cards!"), "management"),
        (await routing.open(submitter=gold, tags=["vip", "x"]), "senior_support"),
        (await routing.open(submitter=gold, tags=["x"], language="nl-BE"), "tech_team"),
        (await routing.open(submitter=gold), "support"),
    ]
    for ticket, queue in opened:
        assert (await routing.assignment(ticket))["queue"] == queue
    rows = await routing.rows("SELECT CAST(to_jsonb(a) AS text) AS it FROM assignments AS a")
    assert not [row for row in rows if "Credit" in row.it or "kim@" in row.it]


async def test_a_rule_that_asks_for_words_counts_for_a_claim_before_the_opening(
    routing: Any, intake: Any
) -> None:
    """Where it would have gone to is where it goes back to."""
    await routing.add_agent("ana")
    await add(routing, "words", "management", text=["smoke"])
    ticket = routing.ticket(title="Smoke", description="!")
    intake[0].tickets[ticket.id] = (ticket, 1)
    assert (await routing.claim(ticket, "ana")).json()["queue"] == "management"
    await routing.hear(routing.opened(ticket))
    assert (await routing.assignment(ticket))["queue"] == "management"


async def test_rules_are_changed_by_name_or_id_and_version(routing: Any) -> None:
    """Each whole or in part; the default one but for its queue stays."""
    made = await add(routing, "orders", type="order")
    assert made["type"] == ["order"]
    assert await add(routing, "else", product="shop")
    path = f"{RULES}/{made['id']}"
    changed = await routing.call("PATCH", path, {"tags_any": ["Vip", "vip"]}, match='"1"')
    assert (changed.json()["tags_any"], changed.json()["type"]) == (["vip"], ["order"])
    stale = await routing.call("PUT", f"{RULES}/orders", {"queue": "support"}, match='"1"')
    assert stale.status_code == 412
    whole = await routing.call("PUT", f"{RULES}/orders", {"queue": "support"}, match='"2"')
    assert (whole.json()["type"], whole.json()["position"]) == ([], 100)
    taken = await routing.call("PATCH", path, {"name": "else"})
    assert taken.status_code == 409
    assert (await routing.call("PATCH", f"{RULES}/default", {"position": 1})).status_code == 409
    assert (await routing.call("DELETE", f"{RULES}/default", match="*")).status_code == 409
    moved = await routing.call("PATCH", f"{RULES}/default", {"queue": "tech_team"})
    assert moved.json()["queue"] == "tech_team"
    assert (await routing.assignment(await routing.open()))["queue"] == "support"
    assert (await routing.call("DELETE", path, match='"3"')).status_code == 204
    assert (await routing.call("GET", path)).status_code == 404
    assert (await routing.assignment(await routing.open()))["queue"] == "tech_team"


async def test_rules_are_put_in_order_by_whoever_knows_the_list(routing: Any) -> None:
    """The list has a version of its own; every rule must be named."""
    for name in ("a", "b", "c"):
        await add(routing, name, tags_any=name)
    answer = await routing.call("GET", RULES)
    await routing.call("PATCH", f"{RULES}/a", {"tier": "gold"})
    order = {"order": ["c", "a", "b"]}
    stale = await routing.call("PUT", RULES, order, match=answer.headers["ETag"])
    assert stale.status_code == 412
    known = (await routing.call("GET", RULES)).headers["ETag"]
    short = await routing.call("PUT", RULES, {"order": ["c", "a"]}, match=known)
    assert short.json()["errors"][0]["message"] == "must name every rule: not there b"
    done = await routing.call("PUT", RULES, order, match=known)
    assert [one["name"] for one in done.json()["items"]] == ["c", "a", "b", "default"]
    page = (await routing.call("GET", f"{RULES}?limit=3")).json()
    rest = (await routing.call("GET", f"{RULES}?cursor={page['next_cursor']}")).json()
    assert [one["position"] for one in page["items"] + rest["items"]] == [10, 20, 30, 1_000_000]


async def test_odd_rules_are_taken_and_pointed_out(routing: Any) -> None:
    """In the answer to the one who writes them, and whenever they are read."""
    assert remarks(await add(routing, "all", position=1)) == [("all", "matches_everything")]
    late = await add(routing, "late", "management", position=2, type="order")
    expected = [("all", "matches_everything"), ("late", "never_matches")]
    assert remarks(late) == expected
    assert remarks((await routing.call("GET", RULES)).json()) == expected
    mended = await routing.call("PATCH", f"{RULES}/all", {"enabled": False})
    assert remarks(mended.json()) == []


async def test_rules_are_tried_on_the_last_tickets_before_they_count(
    routing: Any, intake: Any
) -> None:
    """What each ticket meets now and would meet; the text is asked of intake, if it is there."""
    await add(routing, "orders", "senior_support", type="order")
    smoke = await routing.open(title="Smoke", description="from the printer")
    order = await routing.open(type=words.TICKET_TYPE_ORDER)
    other = await routing.open(product="shop")
    for ticket in (smoke, order, other):
        intake[0].tickets[ticket.id] = (ticket, 1)
    body = {
        "rules": [
            {"name": "fire", "queue": "tech_team", "position": 1, "text": ["smoke"]},
            {"name": "orders", "queue": "management", "type": "order"},
        ]
    }
    tried = (await routing.call("POST", f"{RULES}/test", body)).json()
    assert [one["ticket_id"] for one in tried["tickets"]] == [other.id, order.id, smoke.id]
    assert [(one["rule_now"], one["rule"], one["queue"]) for one in tried["tickets"]] == [
        ("default", "default", "support"),
        ("orders", "orders", "management"),
        ("default", "fire", "tech_team"),
    ]
    assert {one["name"]: one["takes"] for one in tried["rules"]} == {
        "fire": 1, "orders": 1, "default": 1,
    }  # fmt: skip
    assert (tried["changed"], tried["text_unknown"]) == (2, 0)
    assert [one["name"] for one in (await routing.call("GET", RULES)).json()["items"]] == [
        "orders",
        "default",
    ]
    one = await routing.call("POST", f"{RULES}/test", body | {"last": 1, "product": "demo"})
    assert [each["ticket_id"] for each in one.json()["tickets"]] == [order.id]
    intake[0].tickets.clear()
    blind = (await routing.call("POST", f"{RULES}/test", body)).json()
    assert [each["text_unknown"] for each in blind["tickets"]] == [True, True, True]
    queue = {"rules": [{"queue": "none", "type": "order"}]}
    assert (await routing.call("POST", f"{RULES}/test", queue)).status_code == 422
