"""One ticket, one assignee, whoever asks and however many at once."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill_chassis.ids import new_id


async def test_of_fifty_simultaneous_claims_one_wins_and_the_others_are_told_who(
    routing: Any,
) -> None:
    """One 200, and 49 refusals that name the winner; one event."""
    names = [f"agent{number}" for number in range(50)]
    for name in names:
        await routing.add_agent(name, presence="busy")
    ticket = await routing.open()
    answers = await asyncio.gather(*(routing.claim(ticket, name) for name in names))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert won["ticket_id"] == ticket.id
    assert won["why"] == f"claimed by {won['agent']['name']}"
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["assignee"] == won["agent"]
            assert answer.json()["type"] == "urn:waybill:problem:already-assigned"
    (_, told) = await routing.told(ticket.id)
    assert isinstance(told, events_pb2.TicketAssigned)
    assert told.assignment.method == assignment_pb2.ASSIGNMENT_METHOD_CLAIM
    assert told.actor.email == told.assignment.agent.email
    assert sum((await routing.loads()).values()) == 1


async def test_a_claim_may_be_repeated_by_who_has_the_ticket(routing: Any) -> None:
    """The same answer, and nothing more is told."""
    await routing.add_agent("ana", presence="busy")
    ticket = await routing.open()
    first = await routing.claim(ticket, "ana")
    second = await routing.claim(ticket, "ANA")
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"] == '"2"'
    assert len(await routing.told(ticket.id)) == 2


async def test_nobody_gets_more_than_they_have_room_for(routing: Any) -> None:
    """Claims, pulls, openings and closings race; each agent stays within their capacity."""
    names = ("ana", "ben", "cleo")
    ids = [await routing.add_agent(name, capacity=5, presence="busy") for name in names]
    waiting = [await routing.open() for _ in range(30)]
    tasks = [routing.claim(ticket, names[number % 3]) for number, ticket in enumerate(waiting[:15])]
    tasks += [
        routing.client.post(f"/v1/agents/{id}/next", headers=routing.headers("lead"))
        for id in ids * 3
    ]
    tasks += [
        routing.client.put(
            f"/v1/agents/{id}/presence",
            headers=routing.headers("lead"),
            json={"presence": "available"},
        )
        for id in ids
    ]
    tasks += [routing.hear(*(routing.opened(routing.ticket()) for _ in range(5))) for _ in range(4)]
    tasks += [
        routing.hear(*(routing.moved(t, words.STATUS_CLOSED, 2) for t in reversed(waiting[20:])))
    ]
    done = await asyncio.gather(*tasks)
    assert {getattr(answer, "status_code", 200) for answer in done} <= {200, 204, 409}
    assert set((await routing.loads()).values()) == {5}
    held = await routing.rows(
        "SELECT count(*) AS held FROM assignments WHERE state = 'assigned' AND is_open"
        " GROUP BY agent_id"
    )
    assert [row.held for row in held] == [5, 5, 5]


async def test_a_closed_ticket_and_a_full_agent_are_refused(routing: Any) -> None:
    """409 in both cases, with what would help."""
    await routing.add_agent("ana", capacity=1, presence="busy")
    first, second, closed = [await routing.open() for _ in range(3)]
    await routing.hear(routing.moved(closed, words.STATUS_CLOSED, 2))
    assert (await routing.claim(closed, "ana")).json()["type"].endswith("ticket-closed")
    assert (await routing.claim(first, "ana")).status_code == 200
    full = await routing.claim(second, "ana")
    assert full.status_code == 409
    assert full.json()["capacity"] == 1
    assert (await routing.assignment(second))["version"] == 1


async def test_next_gives_the_most_urgent_ticket_of_ones_teams_and_products(routing: Any) -> None:
    """204 when nothing waits that the caller may see."""
    ana = await routing.add_agent("ana", presence="busy")
    await routing.open(priority=words.PRIORITY_URGENT, product="shop")
    medium = await routing.open()
    high = await routing.open(priority=words.PRIORITY_HIGH)

    async def ask(**options: Any) -> Any:
        return await routing.client.post(
            f"/v1/agents/{ana}/next", headers=routing.headers(products=("demo",), **options)
        )

    first, second, third = [await ask() for _ in range(3)]
    assert first.json()["ticket_id"] == high.id
    assert first.json()["method"] == "next"
    assert first.json()["why"] == "next in support, asked for by Ana"
    assert second.json()["ticket_id"] == medium.id
    assert third.status_code == 204
    # Sent again under its key it takes no second ticket.
    await routing.open()
    await routing.open()
    key = {"Idempotency-Key": "next-1"}
    path, headers = f"/v1/agents/{ana}/next", routing.headers(products=("demo",)) | key
    once, again = [await routing.client.post(path, headers=headers) for _ in range(2)]
    assert once.json() == again.json()
    assert (await ask(sub="ben@example.com")).status_code == 403


async def test_whoever_gives_a_ticket_back_does_not_get_it_again(routing: Any) -> None:
    """Somebody else gets it at once; when nobody else is there it waits."""
    await routing.add_agent("ana")
    ticket = await routing.open()
    path = f"/v1/tickets/{ticket.id}/assignment"
    waits = await routing.client.delete(path, headers=routing.headers())
    assert waits.status_code == 200
    assert waits.json()["state"] == "queued"
    assert waits.json()["agent"] is None
    (_, released, _) = await routing.told(ticket.id)
    assert released.reason == events_pb2.RELEASE_REASON_BY_HAND
    assert released.previous_agent.name == "Ana"
    assert released.actor.id == "ana@example.com"
    # The echo of the release in the ticket's status moves nothing.
    await routing.hear(routing.moved(ticket, words.STATUS_PENDING, 2))
    assert (await routing.assignment(ticket))["state"] == "queued"
    await routing.add_agent("ben")
    assert (await routing.assignment(ticket))["agent"]["name"] == "Ben"
    again = await routing.client.delete(path, headers=routing.headers("lead"))
    assert again.json()["agent"]["name"] == "Ana"
    assert await routing.loads() == {"Ana": 1, "Ben": 0}


async def test_a_ticket_is_handed_over_by_hand(routing: Any) -> None:
    """By who has it or by a lead, to an agent or a team, of the version they have seen."""
    await routing.add_agent("ana")
    ticket = await routing.open()
    ben = await routing.add_agent("ben", presence="busy")
    await routing.add_agent("tess", "tech_team")
    path = f"/v1/tickets/{ticket.id}/assignment"

    async def put(body: dict[str, str], *roles: str, **headers: str) -> Any:
        sent = routing.headers(*roles) | {name.replace("_", "-"): v for name, v in headers.items()}
        return await routing.client.put(path, json=body, headers=sent)

    assert (await put({"agent_id": str(ben)}, if_match='"7"')).status_code == 412
    handed = await put({"agent_id": str(ben)}, if_match='"1"')
    assert handed.json()["agent"]["name"] == "Ben"
    assert handed.json()["why"] == "assigned by hand by Ana"
    (_, told) = await routing.told(ticket.id)
    assert told.previous_agent.name == "Ana"
    assert told.assignment.method == assignment_pb2.ASSIGNMENT_METHOD_BY_HAND
    # Ana no longer has it.
    assert (await put({"team": "tech_team"})).status_code == 403
    moved = await put({"team": "tech_team"}, "lead")
    assert (moved.json()["team"], moved.json()["agent"]["name"]) == ("tech_team", "Tess")
    for wrong in ({}, {"team": "nowhere"}, {"agent_id": str(new_id())}):
        refused = await put(wrong, "lead")
        assert refused.status_code == 422, refused.text
    assert (await routing.assignment(ticket))["version"] == moved.json()["version"]


async def test_what_somebody_may_not_do_is_refused_and_changes_nothing(routing: Any) -> None:
    """403 for the role and for an address that is no agent's; 404 for another product's ticket."""
    ana = await routing.add_agent("ana", presence="busy")
    ticket = await routing.open()
    stranger = await routing.claim(ticket, "stranger")
    assert stranger.status_code == 403
    assert "POST /v1/agents" in stranger.json()["detail"]
    assert (await routing.claim(ticket, "ana", products=("shop",))).status_code == 404
    path = f"/v1/tickets/{ticket.id}/assignment"
    client, headers = routing.client, routing.headers
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=headers("submitter"))).status_code == 403
    assert (await client.delete(path, headers=headers())).status_code == 403
    for refused in (
        await client.post("/v1/agents", headers=headers("lead"), json={}),
        await client.post("/v1/teams", headers=headers("lead"), json={}),
        await client.post("/v1/routing-rules", headers=headers("agent"), json={}),
        await client.patch(f"/v1/agents/{ana}", headers=headers("lead"), json={}),
        await client.put(
            f"/v1/agents/{ana}/presence",
            headers=headers(sub="ben@example.com"),
            json={"presence": "away"},
        ),
    ):
        assert refused.status_code == 403, refused.text
    assert (await routing.assignment(ticket))["version"] == 1


async def test_agents_teams_and_queues_are_kept_and_listed(routing: Any) -> None:
    """Pages, versions, the counts of what waits, and clear words for what cannot be."""
    client, admin = routing.client, routing.headers("admin")
    for name in ("ana", "ben", "cleo"):
        await routing.add_agent(name, "support", "tech_team", presence="away")
    await routing.open()
    pages, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/agents", headers=admin, params=query)).json()
        pages.append([agent["email"] for agent in page["items"]])
        if (cursor := page["next_cursor"]) is None:
            break
    assert pages == [["ana@example.com", "ben@example.com"], ["cleo@example.com"]]
    ana: UUID = routing.agents["ana"]
    edited = await client.patch(
        f"/v1/agents/{ana}", headers=admin, json={"teams": ["management"], "capacity": 7}
    )
    assert (edited.json()["teams"], edited.json()["capacity"]) == (["management"], 7)
    assert edited.headers["etag"] == '"2"'
    shown = await client.get(f"/v1/agents/{ana}", headers=admin)
    assert shown.json() == edited.json()
    twice = {"email": "ANA@example.com", "name": "Ana"}
    assert (await client.post("/v1/agents", headers=admin, json=twice)).status_code == 409
    nowhere = {"email": "x@example.com", "name": "X", "teams": ["nowhere"]}
    wrong = await client.post("/v1/agents", headers=admin, json=nowhere)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "teams")
    new = {"slug": "billing", "name": "Billing"}
    assert (await client.post("/v1/teams", headers=admin, json=new)).status_code == 201
    assert (await client.post("/v1/teams", headers=admin, json=new)).status_code == 409
    queues = (await client.get("/v1/queues", headers=admin)).json()["items"]
    assert {queue["slug"]: queue["waiting"] for queue in queues} == {
        "billing": 0,
        "management": 0,
        "senior_support": 0,
        "support": 1,
        "tech_team": 0,
    }
    teams = (await client.get("/v1/teams", headers=admin)).json()["items"]
    assert [team["escalation_level"] for team in teams] == [0, 3, 1, 0, 2]
