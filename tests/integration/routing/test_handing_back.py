"""What an agent was given and did not take in hand goes back."""

import asyncio
from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, Actor
from waybill.intake.v1.events_pb2 import MessagePosted
from waybill.routing.v1 import events_pb2


def posted(routing: Any, ticket: Any, name: str, sequence: int = 2) -> Any:
    """A message by an agent."""
    actor = Actor(kind=ACTOR_KIND_AGENT, email=f"{name}@example.com")
    return routing.event(MessagePosted(actor=actor, ticket=ticket), ticket.id, sequence)


async def appear(routing: Any, id: Any, presence: str) -> Any:
    return await routing.client.put(
        f"/v1/agents/{id}/presence", headers=routing.headers("lead"), json={"presence": presence}
    )


async def test_who_goes_offline_hands_back_what_they_have_not_touched(routing: Any) -> None:
    """To others at once; what they wrote to, claimed or pulled stays theirs."""
    ana = await routing.add_agent("ana")
    untouched, written, resolved, others = [await routing.open() for _ in range(4)]
    await routing.add_agent("eve", presence="busy")
    await routing.hear(
        posted(routing, written, "ana"),
        posted(routing, others, "eve"),
        routing.moved(resolved, words.STATUS_RESOLVED, 2),
    )
    await appear(routing, ana, "busy")
    claimed, pulled = await routing.open(), await routing.open()
    assert (await routing.claim(claimed, "ana")).status_code == 200
    path = f"/v1/agents/{ana}/next"
    pull = await routing.client.post(path, headers=routing.headers("lead"))
    assert pull.json()["ticket_id"] == pulled.id
    ben = await routing.add_agent("ben", capacity=1)
    assert (await appear(routing, ana, "offline")).status_code == 200
    shown = [(await routing.assignment(one))["agent"] for one in (untouched, others)]
    assert [agent and agent["id"] for agent in shown] == [str(ben), None]
    for kept in (written, resolved, claimed, pulled):
        assert (await routing.assignment(kept))["agent"]["id"] == str(ana)
    assert await routing.weights("ana") == (3, 3)
    _, released, given = await routing.told(untouched.id)
    assert released.reason == events_pb2.RELEASE_REASON_AGENT_UNAVAILABLE
    assert released.assignment.why == "Ana went offline"
    assert isinstance(given, events_pb2.TicketAssigned)
    assert (await routing.told(ana))[-1].agent_state.open_tickets == 3
    # Once more, or only away: nothing follows.
    assert (await appear(routing, ana, "offline")).status_code == 200
    assert (await appear(routing, ben, "away")).status_code == 200
    assert (await routing.assignment(untouched))["agent"]["id"] == str(ben)


@pytest.mark.parametrize("way", ["claim", "by_hand"])
async def test_one_can_accept_what_one_was_given(routing: Any, way: str) -> None:
    """A claim of one's own, or a ticket that one gives to oneself."""
    ana = await routing.add_agent("ana", presence="available" if way == "claim" else "busy")
    ticket = await routing.open()
    if way == "claim":
        version = (await routing.assignment(ticket))["version"]
        assert (await routing.claim(ticket, "ana")).json()["version"] == version
    else:
        given = await routing.client.put(
            f"/v1/tickets/{ticket.id}/assignment",
            headers=routing.headers("lead", sub="ana@example.com"),
            json={"agent_id": str(ana)},
        )
        assert given.status_code == 200
    answer = await routing.call("PATCH", f"/v1/agents/{ana}", {"presence": "offline"})
    assert answer.status_code == 200, answer.text
    assert (await routing.assignment(ticket))["agent"]["id"] == str(ana)


async def test_tickets_that_come_while_one_goes_offline_stay_with_nobody(routing: Any) -> None:
    """Openings and goings race; nothing untouched is left with who is offline."""
    ids = [await routing.add_agent(name) for name in ("ana", "ben")]
    tickets = [routing.ticket() for _ in range(40)]
    openings = [
        routing.hear(*map(routing.opened, tickets[start : start + 5])) for start in range(0, 40, 5)
    ]
    answers = await asyncio.gather(*openings, *(appear(routing, id, "offline") for id in ids))
    assert [answer.status_code for answer in answers[-2:]] == [200, 200]
    states = {(await routing.assignment(one))["state"] for one in tickets}
    assert states == {"queued"}
    assert await routing.loads() == {"Ana": 0, "Ben": 0}
