"""Strategies of queues over a real database: who gets what, what is learned, what sla is asked."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1.ticket_pb2 import LINK_KIND_FOLLOW_UP
from waybill.sla.v1 import service_pb2 as sla_pb2
from waybill.sla.v1 import service_pb2_grpc as sla_grpc
from waybill_chassis.health import Health
from waybill_chassis.ids import new_id
from waybill_chassis.rpc import GrpcServer, Servicer
from waybill_chassis.times import timestamp
from waybill_routing.lookup import ask_for_dues

ORDER, ACCOUNT = words.TICKET_TYPE_ORDER, words.TICKET_TYPE_ACCOUNT


async def skilled(routing: Any, name: str, *types: str, presence: str = "available") -> Any:
    """An agent of support with these types."""
    answer = await routing.call(
        "POST",
        "/v1/agents",
        {
            "email": f"{name}@example.com",
            "name": name.title(),
            "teams": ["support"],
            "skills": [{"kind": "type", "value": type, "level": 4} for type in types],
            "presence": presence,
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def shape(routing: Any, **change: Any) -> None:
    """Change the queue of support."""
    answer = await routing.call("PATCH", "/v1/queues/support", change)
    assert answer.status_code == 200, answer.text


async def appear(routing: Any, id: str, presence: str) -> None:
    answer = await routing.call("PUT", f"/v1/agents/{id}/presence", {"presence": presence})
    assert answer.status_code == 200, answer.text


async def owner(routing: Any, ticket: Any) -> str | None:
    held = (await routing.assignment(ticket))["agent"]
    return None if held is None else held["name"]


async def test_a_queue_says_how_its_agents_are_chosen(routing: Any) -> None:
    """It is shown, kept, and told what is wrong with it."""
    await shape(routing, strategy="smart", needs=["type"], at_once=2)
    shown = (await routing.call("GET", "/v1/queues/support")).json()
    assert (shown["strategy"], shown["needs"], shown["at_once"]) == ("smart", ["type"], 2)
    await shape(routing, at_once=None, strategy="round_robin")
    shown = (await routing.call("GET", "/v1/queues/support")).json()
    assert (shown["strategy"], shown["needs"], shown["at_once"]) == ("round_robin", ["type"], None)
    for wrong in ({"strategy": "lucky"}, {"needs": ["shoe_size"]}, {"at_once": 0}):
        refused = await routing.call("PATCH", "/v1/queues/support", wrong)
        assert refused.status_code == 422
        assert next(iter(wrong)) in refused.text


@pytest.mark.parametrize("strategy", ["least_loaded", "expertise", "round_robin", "smart"])
async def test_what_nobody_free_can_do_hides_nothing_from_who_is_free(
    routing: Any, strategy: str
) -> None:
    """However much waits for others, and however urgent it is."""
    await shape(routing, strategy=strategy, needs=["type"], at_once=1)
    await skilled(routing, "ana", "account")
    first = await routing.open(type=ACCOUNT)
    assert await owner(routing, first) == "Ana"
    waiting = await routing.open(type=ACCOUNT)
    for _ in range(30):
        await routing.open(type=ORDER, priority=words.PRIORITY_URGENT)
    assert await owner(routing, waiting) is None
    await routing.hear(routing.moved(first, words.STATUS_CLOSED, 2))
    assert await owner(routing, waiting) == "Ana"
    nobody = await routing.open(type=ORDER)
    why = (await routing.assignment(nobody))["why"]
    assert why == "nobody available in support has the skill type order"


async def test_it_learns_who_is_fast_from_what_they_solve(routing: Any) -> None:
    """And then prefers them, and says so; what is only closed teaches nothing."""
    await shape(routing, strategy="smart")
    people = {
        "ana": await skilled(routing, "ana", "order"),
        "ben": await skilled(routing, "ben", "order", presence="busy"),
    }
    for name, other, minutes in (("ana", "ben", 10), ("ben", "ana", 40)):
        await appear(routing, people[other], "busy")
        await appear(routing, people[name], "available")
        for number in range(8):
            ticket = await routing.open(type=ORDER)
            assert await owner(routing, ticket) == name.title()
            routing.service.clock.advance(timedelta(minutes=minutes + number))
            await routing.hear(routing.moved(ticket, words.STATUS_RESOLVED, 2))
        dropped = await routing.open(type=ORDER)
        await routing.hear(routing.moved(dropped, words.STATUS_CLOSED, 2))
    rows = await routing.rows("SELECT agent_id, tickets FROM handling WHERE type = 'order'")
    assert {str(row.agent_id): row.tickets for row in rows} == dict.fromkeys(people.values(), 8.0)
    await appear(routing, people["ana"], "available")
    ticket = await routing.open(type=ORDER)
    assert await owner(routing, ticket) == "Ana"
    assert "% faster at order" in (await routing.assignment(ticket))["why"]


async def test_who_knows_the_submitter_or_a_linked_ticket_has_the_next_one_too(
    routing: Any,
) -> None:
    """Also after the earlier one was closed; of nobody else is anything kept but the id."""
    await shape(routing, strategy="smart")
    await routing.add_agent("ana")
    await routing.add_agent("ben", presence="busy")

    async def asks(submitter: UUID | None = None, **facts: Any) -> Any:
        ticket = routing.ticket(type=ORDER, **facts)
        ticket.submitter.id = str(submitter or new_id())
        await routing.hear(routing.opened(ticket))
        return ticket

    person = new_id()
    first = await asks(person)
    assert await owner(routing, first) == "Ana"
    await routing.hear(routing.moved(first, words.STATUS_CLOSED, 2))
    await appear(routing, str(routing.agents["ben"]), "available")
    assert await owner(routing, await asks()) == "Ben"
    again = await asks(person)
    assert await owner(routing, again) == "Ana"
    assert "knows the submitter" in (await routing.assignment(again))["why"]
    assert await owner(routing, await asks()) in ("Ana", "Ben")
    linked = routing.ticket(type=ORDER)
    linked.links.add(kind=LINK_KIND_FOLLOW_UP, ticket_id=first.id)
    await routing.hear(routing.opened(linked))
    assert await owner(routing, linked) == "Ana"


async def test_what_presses_is_found_however_much_is_older_or_overdue(routing: Any) -> None:
    """With sla away: by the usual targets of the priorities."""
    await shape(routing, strategy="smart", at_once=1)
    await routing.add_agent("ana")
    first = await routing.open(type=ORDER)
    hour = timedelta(hours=1)
    now = routing.service.clock.now()
    tickets = [
        routing.ticket(type=ORDER, priority=priority, opened_at=now - hour * hours)
        for priority, hours in [
            *((words.PRIORITY_LOW, each) for each in range(30)),
            *((words.PRIORITY_HIGH, 3) for _ in range(30)),
            (words.PRIORITY_URGENT, 0),
        ]
    ]
    await routing.hear(*map(routing.opened, tickets))
    await routing.hear(routing.moved(first, words.STATUS_CLOSED, 2))
    assert await owner(routing, tickets[-1]) == "Ana"
    assert "only 15 min left" in (await routing.assignment(tickets[-1]))["why"]


class Sla(sla_grpc.ClockServiceServicer):
    """An sla that knows when some tickets are due."""

    def __init__(self) -> None:
        self.dues: dict[str, Any] = {}
        self.asked: list[list[str]] = []

    async def GetRemaining(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(list(request.ticket_ids))
        answer = sla_pb2.GetRemainingResponse()
        for id in request.ticket_ids:
            if id in self.dues:
                told = answer.tickets.add(ticket_id=id)
                for state, due in self.dues[id]:
                    told.targets.add(state=state, due_at=timestamp(due))
        return answer


@pytest.fixture
async def sla(mint: Any) -> AsyncIterator[tuple[Sla, str, GrpcServer]]:
    """A real server, and its address."""
    holder = Sla()
    server = GrpcServer(
        [
            Servicer(
                sla_grpc.add_ClockServiceServicer_to_server, holder, "waybill.sla.v1.ClockService"
            )
        ],
        host="127.0.0.1",
        port=0,
        verifier=mint.verifier(),
        health=Health(),
        grace=0.1,
    )
    await server.start()
    yield holder, f"127.0.0.1:{server.port}", server
    await server.stop()


async def test_sla_is_asked_once_for_all_that_wait_and_its_last_answer_counts_on(
    routing_over: Any, sla: Any, mint: Any, tmp_path: Any
) -> None:
    """What is due first goes first, though it came last; of a sla that is away nobody waits."""
    holder, address, server = sla
    token = tmp_path / "token"
    token.write_text(mint.token("service", sub="routing"))
    async with routing_over(sla_grpc=address, service_token_file=token) as routing:
        await shape(routing, strategy="smart", at_once=1)
        await routing.add_agent("ana", presence="offline")
        tickets = [await routing.open(type=ORDER) for _ in range(3)]
        now = routing.service.clock.now()
        running, paused = words.TARGET_STATE_RUNNING, words.TARGET_STATE_PAUSED
        for ticket, minutes in zip(tickets, (300, 200, 3), strict=True):
            holder.dues[ticket.id] = [
                (running, now + timedelta(minutes=minutes)),
                (paused, now),
            ]
        assert await ask_for_dues(routing.service.rt) == 3
        assert await ask_for_dues(routing.service.rt) == 0
        assert [sorted(ids) for ids in holder.asked] == [sorted(each.id for each in tickets)]
        await server.stop()
        routing.service.clock.advance(timedelta(seconds=70))
        assert await ask_for_dues(routing.service.rt) == 0
        await appear(routing, str(routing.agents["ana"]), "available")
        rows = await routing.rows("SELECT ticket_id, due_at FROM assignments")
        assert {str(row.ticket_id): row.due_at for row in rows} == {
            id: told[0][1] for id, told in holder.dues.items()
        }
        assert [await owner(routing, ticket) for ticket in tickets] == [None, None, "Ana"]
        assert "first of 3 waiting" in (await routing.assignment(tickets[2]))["why"]
