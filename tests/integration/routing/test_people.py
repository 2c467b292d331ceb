"""Who works, what they can do and when: skills, weights, shifts, absences, presence."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, ACTOR_KIND_AUTOMATION, Actor
from waybill.intake.v1.events_pb2 import MessagePosted
from waybill.routing.v1 import events_pb2
from waybill_routing import usecases

OFFICE = {
    "time_zone": "Europe/Berlin",
    "hours": {
        day: [{"from": "09:00", "to": "17:00"}]
        for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
    },
}


async def test_an_agent_is_as_they_were_written(routing: Any) -> None:
    """Skills with levels, shifts and absences; what is left out of a change stays."""
    await routing.add_agent("ben")
    ana = await routing.add_agent("ana", presence="offline")
    path = f"/v1/agents/{ana}"
    skills = [
        {"kind": "language", "value": "pt-br", "level": 5},
        {"kind": "type", "value": "order", "level": 2},
    ]
    absence = {
        "from": "2026-03-02T00:00:00Z",
        "to": "2026-03-09T00:00:00Z",
        "reason": "leave",
        "stand_in": "ben@example.com",
    }
    answer = await routing.call(
        "PATCH", path, {"skills": skills, "shifts": OFFICE, "absences": [absence]}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == 2
    again = (await routing.call("PATCH", path, {"name": "Ana F."})).json()
    assert again["skills"] == skills
    assert again["shifts"] == OFFICE
    assert again["absences"] == [absence]
    (listed,) = [
        one
        for one in (await routing.call("GET", "/v1/agents")).json()["items"]
        if one["id"] == str(ana)
    ]
    assert listed == again
    assert (await routing.call("PATCH", path, {"shifts": None})).json()["shifts"] is None
    told = (await routing.told(ana))[-1].agent_state
    assert [(skill.value, skill.level) for skill in told.levels] == [("pt-br", 5), ("order", 2)]


async def test_a_ticket_counts_with_the_weight_of_its_priority(routing: Any) -> None:
    """Nobody is given more than they can hold; one who holds nothing takes any one ticket."""
    await routing.settings(weights={"urgent": 3, "high": 2})
    ana = await routing.add_agent("ana", capacity=4)
    urgent = await routing.open(priority=words.PRIORITY_URGENT)
    high = await routing.open(priority=words.PRIORITY_HIGH)
    low = await routing.open(priority=words.PRIORITY_LOW)
    held = [(await routing.assignment(one))["state"] for one in (urgent, high, low)]
    assert held == ["assigned", "queued", "assigned"]
    assert await routing.weights("ana") == (2, 4)
    refused = await routing.claim(high, "ana")
    assert refused.status_code == 409
    assert (refused.json()["load"], refused.json()["capacity"]) == (4, 4)
    # A priority that falls makes room, and what waits comes in.
    lower = routing.ticket(id=urgent.id, priority=words.PRIORITY_LOW)
    await routing.hear(routing.edited(lower, 2))
    assert (await routing.assignment(high))["agent"]["id"] == str(ana)
    assert await routing.weights("ana") == (3, 4)
    await routing.add_agent("zoe", "tech_team", capacity=1)
    await routing.hear(
        routing.escalated(await routing.open(priority=words.PRIORITY_URGENT), "tech_team")
    )
    assert await routing.weights("zoe") == (1, 3)


async def test_off_shift_nothing_comes_and_with_the_shift_what_waits_does(routing: Any) -> None:
    """The end counts to the second, also before anybody has written it down."""
    clock = routing.service.clock
    ana = await routing.add_agent("ana")
    start = clock.now()
    end = start + timedelta(hours=1)
    shifts = {
        "time_zone": "UTC",
        "hours": {},
        "exceptions": [
            {"date": f"{start:%Y-%m-%d}", "hours": [{"from": "00:00", "to": f"{end:%H:%M}"}]},
            {
                "date": f"{start + timedelta(days=1):%Y-%m-%d}",
                "hours": [{"from": "09:00", "to": "17:00"}],
            },
        ],
    }
    shown = (await routing.call("PATCH", f"/v1/agents/{ana}", {"shifts": shifts})).json()
    assert (shown["on_duty"], shown["ready"]) == (True, True)
    clock.advance(timedelta(hours=1))
    late = await routing.open()
    assert (await routing.assignment(late))["state"] == "queued"
    assert await routing.pass_time() == 1
    shown = (await routing.call("GET", f"/v1/agents/{ana}")).json()
    assert (shown["presence"], shown["on_duty"]) == ("available", False)
    clock.advance(timedelta(days=1))
    assert await routing.pass_time() == 1
    assert (await routing.assignment(late))["agent"]["id"] == str(ana)
    told = (await routing.told(ana))[-1]
    assert told.agent_state.on_duty
    assert told.actor.kind == ACTOR_KIND_AUTOMATION


async def test_a_stand_in_gets_what_is_given_to_one_who_is_absent(routing: Any) -> None:
    """By hand; the automation passes the absent one over. Agents write their own absences."""
    ana, ben = await routing.add_agent("ana"), await routing.add_agent("ben", "tech_team")
    now = routing.service.clock.now()
    body = {
        "absences": [
            {
                "from": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "to": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
                "stand_in": "ben@example.com",
            }
        ]
    }
    mine = routing.headers("agent", sub="ana@example.com")
    path = f"/v1/agents/{ana}/absences"
    assert (await routing.client.put(path, headers=mine, json=body)).status_code == 200
    others = routing.headers("agent", sub="ben@example.com")
    assert (await routing.client.put(path, headers=others, json=body)).status_code == 403
    ticket = await routing.open()
    assert (await routing.assignment(ticket))["state"] == "queued"
    given = await routing.call("PUT", f"/v1/tickets/{ticket.id}/assignment", {"agent_id": str(ana)})
    assert given.json()["agent"]["id"] == str(ben)
    assert given.json()["why"].endswith("to Ana, for whom Ben stands in")
    routing.service.clock.advance(timedelta(days=1))
    await routing.pass_time()
    back = await routing.call("PUT", f"/v1/tickets/{ticket.id}/assignment", {"agent_id": str(ana)})
    assert back.json()["agent"]["id"] == str(ana)


async def test_who_gives_no_sign_of_life_is_away_until_the_next_one(routing: Any) -> None:
    """A request, a heartbeat, or something they do in intake; told as the automation's doing."""
    clock = routing.service.clock
    ana, ben = await routing.add_agent("ana"), await routing.add_agent("ben")
    for name in ("ana", "ben"):
        sub = f"{name}@example.com"
        await routing.client.get("/v1/queues", headers=routing.headers("agent", sub=sub))
    await routing.add_agent("chloe")  # who was never seen
    ticket = await routing.open()
    clock.advance(timedelta(minutes=10))
    message = MessagePosted(
        actor=Actor(kind=ACTOR_KIND_AGENT, email="Ben@Example.com"), ticket=ticket
    )
    await routing.hear(routing.event(message, ticket.id, 2))
    clock.advance(timedelta(minutes=6))
    await routing.pass_time()
    assert await routing.presences() == {"Ana": "away", "Ben": "available", "Chloe": "available"}
    told = (await routing.told(ana))[-1]
    assert told.actor.kind == ACTOR_KIND_AUTOMATION
    assert told.previous_presence == 1
    await routing.client.get("/v1/queues", headers=routing.headers("agent", sub="ana@example.com"))
    await routing.pass_time()
    assert (await routing.presences())["Ana"] == "available"
    await routing.settings(away_after=None)
    clock.advance(timedelta(hours=1))
    await routing.pass_time()
    assert set((await routing.presences()).values()) == {"available"}
    assert (await routing.told(ben))[-1].agent_state.agent.email == "ben@example.com"


async def test_an_agent_who_is_removed_hands_back_what_they_have(routing: Any) -> None:
    """To others at once, or to the queue; what they did bears their name, and theirs is free."""
    ana = await routing.add_agent("ana", capacity=2)
    tickets = [await routing.open(), await routing.open()]
    resolved = routing.moved(tickets[1], words.STATUS_RESOLVED, 2)
    await routing.hear(resolved)
    ben = await routing.add_agent("ben", capacity=1)
    body = {"absences": [{"from": "2030-01-01T00:00:00Z", "stand_in": "ana@example.com"}]}
    await routing.call("PUT", f"/v1/agents/{ben}/absences", body)
    path = f"/v1/agents/{ana}"
    assert (await routing.call("DELETE", path)).status_code == 428
    gone = await routing.call("DELETE", path, match='"1"')
    assert gone.status_code == 204, gone.text
    assert (await routing.assignment(tickets[0]))["agent"]["id"] == str(ben)
    assert (await routing.assignment(tickets[1]))["state"] == "queued"
    steps = [type(one) for one in await routing.told(tickets[0].id)]
    assert steps == [
        events_pb2.TicketAssigned,
        events_pb2.TicketReleased,
        events_pb2.TicketAssigned,
    ]
    released = (await routing.told(tickets[0].id))[1]
    assert released.previous_agent.name == "Ana"
    assert released.reason == events_pb2.RELEASE_REASON_AGENT_UNAVAILABLE
    assert (await routing.call("GET", path)).status_code == 404
    assert (await routing.call("DELETE", path, match="*")).status_code == 404
    assert (await routing.claim(tickets[1], "ana")).status_code == 403
    left = (await routing.call("GET", f"/v1/agents/{ben}")).json()
    assert left["absences"][0]["stand_in"] is None
    assert await routing.add_agent("ana") != ana


async def test_teams_and_queues_go_only_when_nothing_hangs_on_them(routing: Any) -> None:
    """Each refusal says what to do first."""
    call = routing.call
    assert (await call("POST", "/v1/teams", {"slug": "night", "name": "N"})).status_code == 201
    assert (await call("PATCH", "/v1/teams/night", {"name": "Night"})).json()["version"] == 2
    assert (await call("PATCH", "/v1/teams/night", {"name": "x"}, match='"1"')).status_code == 412
    line = {"slug": "line", "team": "night"}
    assert (await call("POST", "/v1/queues", line)).status_code == 201
    rule = {"name": "urgent", "queue": "line", "priority": "urgent"}
    assert (await call("POST", "/v1/routing-rules", rule)).status_code == 201
    refused = await call("DELETE", "/v1/queues/line", match="*")
    assert (refused.status_code, refused.json()["rules"]) == (409, ["urgent"])
    ticket = await routing.open(priority=words.PRIORITY_URGENT)
    assert (await call("DELETE", "/v1/routing-rules/urgent", match='"1"')).status_code == 204
    refused = await call("DELETE", "/v1/teams/night", match="*")
    assert (refused.status_code, refused.json()["open_tickets"]) == (409, 1)
    moved = await call("PATCH", "/v1/queues/line", {"team": "support"})
    assert (moved.status_code, moved.json()["open_tickets"]) == (409, 1)
    await call("PUT", f"/v1/tickets/{ticket.id}/assignment", {"team": "support"})
    ana = await routing.add_agent("ana", "night")
    refused = await call("DELETE", "/v1/teams/night", match="*")
    assert refused.json()["members"] == ["ana@example.com"]
    await call("PATCH", f"/v1/agents/{ana}", {"teams": ["support"]})
    assert (await call("DELETE", "/v1/teams/night", match="*")).status_code == 204
    assert (await call("GET", "/v1/queues/line")).status_code == 404


@pytest.mark.parametrize("repair", [False, True])
async def test_counts_that_are_wrong_are_found(routing: Any, repair: bool) -> None:
    """Number and weight, by what the tickets say."""
    await routing.settings(weights={"urgent": 5})
    await routing.add_agent("ana")
    await routing.open(priority=words.PRIORITY_URGENT)
    async with routing.database.unit_of_work() as uow:
        await uow.execute(routing.sql("UPDATE agents SET load = 7"))
        ((agent, held, load),) = await usecases.recount(uow, repair=repair)
    assert (agent.load, held, load) == (7, 1, 5)
    assert await routing.weights("ana") == (1, 5 if repair else 7)


async def test_heavy_tickets_fill_nobody_beyond_their_capacity_whoever_races(routing: Any) -> None:
    """Claims of one's own, tickets by hand, and the automation, all at once."""
    await routing.settings(weights={"urgent": 3})
    waiting = [await routing.open(priority=words.PRIORITY_URGENT) for _ in range(6)]
    ana = await routing.add_agent("ana", capacity=7, presence="busy")
    path = "/v1/tickets/{}/assignment"
    answers = await asyncio.gather(
        *(routing.claim(ticket, "ana") for ticket in waiting[:3]),
        *(
            routing.call("PUT", path.format(ticket.id), {"agent_id": str(ana)})
            for ticket in waiting[3:]
        ),
        routing.call("PUT", f"/v1/agents/{ana}/presence", {"presence": "available"}),
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert await routing.weights("ana") == (2, 6)


async def test_an_agent_is_removed_while_tickets_keep_coming(routing: Any) -> None:
    """None of them is left with somebody who is gone."""
    ana = await routing.add_agent("ana")
    for _ in range(5):
        await routing.open()
    answers = await asyncio.gather(
        routing.call("DELETE", f"/v1/agents/{ana}", match="*"),
        *(routing.open() for _ in range(10)),
    )
    assert answers[0].status_code == 204, answers[0].text
    states = await routing.rows("SELECT state, count(*) AS number FROM assignments GROUP BY state")
    assert [(row.state, row.number) for row in states] == [("queued", 15)]
