"""What an agent was given and did not take in hand goes back."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, Actor
from waybill.intake.v1.events_pb2 import MessagePosted
from waybill.routing.v1 import events_pb2
from waybill_routing import usecases


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


async def test_what_is_not_accepted_in_time_goes_to_somebody_else(routing: Any) -> None:
    """Accepted is what its agent did something to; who let it lie gets it again later."""
    await routing.settings(accept_within="PT10M", away_after=None)
    clock = routing.service.clock
    ana = await routing.add_agent("ana")
    untouched, written = await routing.open(), await routing.open()
    await routing.hear(posted(routing, written, "ana"))
    clock.advance(timedelta(minutes=9))
    await routing.pass_time()
    assert (await routing.assignment(untouched))["agent"]["id"] == str(ana)
    clock.advance(timedelta(minutes=1))
    await routing.pass_time()
    assert (await routing.assignment(untouched))["state"] == "queued"
    assert (await routing.assignment(written))["agent"]["id"] == str(ana)
    _, released, _ = await routing.told(untouched.id)
    assert released.reason == events_pb2.RELEASE_REASON_NOT_ACCEPTED
    assert released.assignment.why == "Ana did not accept it within 10 min"
    assert released.previous_agent.name == "Ana"
    # Not at once again, and not never.
    path, headers = f"/v1/agents/{ana}/next", routing.headers("lead")
    assert (await routing.client.post(path, headers=headers)).status_code == 204
    clock.advance(timedelta(minutes=10))
    await routing.pass_time()
    assert (await routing.assignment(untouched))["agent"]["id"] == str(ana)
    ben = await routing.add_agent("ben")
    clock.advance(timedelta(minutes=10))
    await routing.pass_time()
    assert (await routing.assignment(untouched))["agent"]["id"] == str(ben)
    assert await routing.loads() == {"Ana": 1, "Ben": 1}


async def test_time_in_which_an_agent_is_not_there_is_not_theirs_to_accept_in(
    routing: Any,
) -> None:
    """Neither away nor off duty; silence and being busy change nothing."""
    await routing.settings(accept_within="PT20M")
    clock = routing.service.clock
    ana = await routing.add_agent("ana")
    away, absent = await routing.open(), routing.ticket()
    await appear(routing, ana, "away")
    clock.advance(timedelta(hours=1))
    await routing.pass_time()
    await appear(routing, ana, "available")
    await routing.hear(routing.opened(absent))
    clock.advance(timedelta(minutes=15))
    await appear(routing, ana, "busy")
    now = clock.now()
    absence = {"from": f"{now:%Y-%m-%dT%H:%M:%SZ}", "to": f"{now + timedelta(hours=1):%FT%TZ}"}
    await routing.call("PUT", f"/v1/agents/{ana}/absences", {"absences": [absence]})
    clock.advance(timedelta(minutes=59))
    await routing.pass_time()
    for ticket in (away, absent):
        assert (await routing.assignment(ticket))["agent"]["id"] == str(ana)
    clock.advance(timedelta(minutes=2))
    await routing.pass_time()
    clock.advance(timedelta(minutes=10))
    me = routing.headers("agent", sub="ana@example.com")
    await routing.client.get("/v1/queues", headers=me)
    clock.advance(timedelta(minutes=9))
    await routing.pass_time()
    assert (await routing.assignment(away))["agent"]["id"] == str(ana)
    clock.advance(timedelta(minutes=2))
    await routing.pass_time()
    assert (await routing.assignment(away))["state"] == "queued"
    assert (await routing.assignment(absent))["state"] == "queued"


async def test_of_who_accepts_and_who_takes_back_one_wins(routing: Any) -> None:
    """Whoever holds the row first: the ticket is accepted, or somebody else's, and counted once."""
    await routing.settings(accept_within="PT1M", away_after=None)
    await routing.add_agent("ana")
    given = [await routing.open() for _ in range(20)]
    await routing.add_agent("ben", capacity=200, presence="busy")
    routing.service.clock.advance(timedelta(minutes=1))

    async def sweep() -> None:
        async with routing.database.unit_of_work() as uow:
            await usecases.recall(uow)

    await asyncio.gather(
        *(routing.hear(posted(routing, ticket, "ana")) for ticket in given[:10]),
        sweep(),
        *(routing.claim(ticket, "ana") for ticket in given[10:]),
        sweep(),
    )
    states = [(await routing.assignment(ticket))["state"] for ticket in given]
    kept = await routing.rows(
        "SELECT count(*) AS held FROM assignments"
        " WHERE agent_id IS NOT NULL AND accepted_at IS NOT NULL"
    )
    assert kept[0].held == states.count("assigned")
    assert await routing.loads() == {"Ana": kept[0].held, "Ben": 0}
    assert states[10:] == ["assigned"] * 10
