"""Why a ticket is with whom it is, in words and in numbers."""

from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words


async def test_each_decision_is_told_with_its_candidates_and_what_it_went_by(routing: Any) -> None:
    """As it was then: neither a new rule nor a new strategy changes what was decided."""
    rule = {"name": "orders", "queue": "support", "type": "order"}
    assert (await routing.call("POST", "/v1/routing-rules", rule)).status_code == 201
    ana, ben = await routing.add_agent("ana", presence="busy"), await routing.add_agent("ben")
    await routing.open()
    ticket = await routing.open(type=words.TICKET_TYPE_ORDER)
    await routing.add_agent("cleo")
    path = f"/v1/tickets/{ticket.id}/assignment"
    released = await routing.client.delete(path, headers=routing.headers("lead"))
    assert released.status_code == 200
    given = await routing.call("PUT", path, {"agent_id": str(ana)})
    assert "decisions" not in given.json()
    await routing.call("PATCH", "/v1/routing-rules/orders", {"type": "account"})
    await routing.call("PATCH", "/v1/queues/support", {"strategy": "expertise"})
    shown = await routing.assignment(ticket)
    assert shown["agent"]["name"] == "Ana"
    assert shown["accepted_at"] is None
    by_hand, again, back, first = shown["decisions"]
    assert [one["version"] for one in shown["decisions"]] == [4, 3, 2, 1]
    assert first["rule"]["name"] == "orders"
    assert (first["rule"]["version"], first["strategy"], first["queue_version"]) == (
        1,
        "least_loaded",
        1,
    )
    assert first["agent"] == {"id": str(ben), "name": "Ben"}
    (only,) = first["candidates"]
    assert only == {"agent": first["agent"], "score": -1.0, "parts": {"load": -1.0}}
    assert (back["state"], back["reason"], back["candidates"]) == ("released", "by_hand", [])
    assert (again["able"], again["agent"]["name"], again["rule"]) == (1, "Cleo", None)
    assert (by_hand["method"], by_hand["candidates"], by_hand["strategy"]) == ("by_hand", [], None)
    assert by_hand["why"] == shown["why"]
    (held,) = await routing.rows(
        "SELECT cause FROM decisions WHERE ticket_id = :id AND version = 1", id=ticket.id
    )
    assert first["cause_id"] == held.cause


@pytest.mark.parametrize("strategy", ["smart", "expertise"])
async def test_the_score_of_a_candidate_is_the_sum_of_its_parts(
    routing: Any, strategy: str
) -> None:
    """The chosen one first; whoever waits is told what for."""
    await routing.call("PATCH", "/v1/queues/support", {"strategy": strategy})
    waiting = await routing.open()
    (queued,) = (await routing.assignment(waiting))["decisions"]
    assert (queued["state"], queued["strategy"], queued["able"]) == ("queued", strategy, 0)
    assert queued["rule"]["name"] == "default"
    for name in ("ana", "ben", "cleo"):
        await routing.add_agent(name)
    shown = await routing.assignment(await routing.open())
    (chosen,) = shown["decisions"]
    assert chosen["able"] == len(chosen["candidates"]) == 3
    assert chosen["candidates"][0]["agent"] == shown["agent"]
    for one in chosen["candidates"]:
        assert one["score"] == pytest.approx(sum(one["parts"].values()))


async def test_a_submitter_is_not_told_how_agents_were_weighed(routing: Any) -> None:
    """Not even of a ticket of their own."""
    ticket = await routing.open()
    answer = await routing.client.get(
        f"/v1/tickets/{ticket.id}/assignment", headers=routing.headers("submitter")
    )
    assert answer.status_code == 403
