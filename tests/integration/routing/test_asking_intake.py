"""Tickets that routing has not heard of yet, and its answers over gRPC."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.routing.v1 import service_pb2
from waybill_chassis.ids import new_id
from waybill_chassis.problems import NotFound


@pytest.fixture
async def routing(routing_and_intake: Any) -> Any:
    """Routing that can reach this intake."""
    return routing_and_intake


async def test_a_claim_right_after_the_create_asks_intake(routing: Any, intake: Any) -> None:
    """By id or number; the opening that is heard later changes nothing."""
    await routing.add_agent("ana")
    await routing.add_agent("ben")
    ticket = routing.ticket()
    intake[0].tickets[ticket.id] = (ticket, 1)
    shown = await routing.client.get("/v1/tickets/WB-1/assignment", headers=routing.headers())
    assert (shown.json()["ticket_id"], shown.json()["state"]) == (ticket.id, "unplaced")
    claimed = await routing.claim("WB-1", "ben")
    assert claimed.status_code == 200, claimed.text
    assert claimed.json()["version"] == 1
    assert claimed.json()["team"] == "support"
    await routing.hear(routing.opened(ticket))
    assert (await routing.assignment(ticket))["agent"]["name"] == "Ben"
    assert len(await routing.told(ticket.id)) == 1
    assert await routing.loads() == {"Ana": 0, "Ben": 1}


async def test_a_claim_and_the_automation_do_not_both_win(routing: Any, intake: Any) -> None:
    """Claims race with the openings: whichever is first has the ticket, the other hears of it."""
    ana = await routing.add_agent("ana")
    await routing.add_agent("ben", presence="busy")
    tickets = [routing.ticket() for _ in range(30)]
    for number, ticket in enumerate(tickets):
        ticket.number = f"WB-{number}"
        intake[0].tickets[ticket.id] = (ticket, 1)
    *answers, _, _ = await asyncio.gather(
        *(routing.claim(ticket, "ben") for ticket in tickets),
        routing.hear(*(routing.opened(ticket) for ticket in tickets[:15])),
        routing.hear(*(routing.opened(ticket) for ticket in tickets[15:])),
    )
    won = 0
    for ticket, answer in zip(tickets, answers, strict=True):
        told = await routing.told(ticket.id)
        assert len(told) == 1
        if answer.status_code == 200:
            won += 1
            assert told[0].assignment.agent.name == "Ben"
        else:
            assert answer.status_code == 409
            assert answer.json()["assignee"] == {"id": str(ana), "name": "Ana"}
            assert told[0].assignment.agent.name == "Ana"
    assert await routing.loads() == {"Ana": 30 - won, "Ben": won}


async def test_a_ticket_that_was_only_asked_for_is_placed_when_its_opening_is_heard(
    routing: Any, intake: Any
) -> None:
    """Although its number is no news."""
    await routing.add_agent("ana")
    ticket = routing.ticket()
    intake[0].tickets[ticket.id] = (ticket, 1)
    assert (await routing.assignment(ticket))["version"] == 0
    await routing.hear(routing.opened(ticket))
    assert (await routing.assignment(ticket))["agent"]["name"] == "Ana"


async def test_what_nobody_knows_is_not_found(routing: Any) -> None:
    """And so is what is no id and no number."""
    await routing.add_agent("ana")
    for name in (str(new_id()), "WB-404", "what?"):
        assert (await routing.claim(name, "ana")).status_code == 404


async def test_only_what_routing_does_not_know_needs_intake(
    routing_over: Callable[..., Any],
) -> None:
    """With intake away it is a 503 for an unknown ticket, and a claim as ever for the others."""
    async with routing_over() as routing:
        await routing.add_agent("ana", presence="busy")
        known = await routing.open()
        assert (await routing.claim(new_id(), "ana")).status_code == 503
        assert (await routing.claim(known, "ana")).status_code == 200


async def test_reconcile_finds_and_repairs_what_was_missed(routing: Any, intake: Any) -> None:
    """A missed opening is placed, a missed closing releases, a wrong count is put right."""
    await routing.add_agent("ana")
    same, closed, missed = (routing.ticket() for _ in range(3))
    await routing.hear(routing.opened(same), routing.opened(closed))
    now_closed = routing.ticket(same.id)
    now_closed.CopyFrom(closed)
    now_closed.status = words.STATUS_CLOSED
    intake[0].tickets = {
        same.id: (same, 1),
        closed.id: (now_closed, 5),
        missed.id: (missed, 1),
    }
    async with routing.database.unit_of_work() as uow:
        await uow.connection.exec_driver_sql("UPDATE agents SET open_tickets = 7")

    async def reconcile(*, repair: bool) -> Any:
        request = service_pb2.ReconcileRequest(repair=repair)
        return (await routing.ask("Reconcile", request)).report

    found = await reconcile(repair=False)
    assert (found.checked, found.differing, found.repaired) == (3, 3, 0)
    told = {(d.owner, d.subject, d.field, d.held, d.owned) for d in found.differences}
    assert told == {
        ("intake", closed.id, "status", "pending", "closed"),
        ("intake", missed.id, "(missing)", "", ""),
        ("routing", str(routing.agents["ana"]), "open_tickets", "7", "2"),
    }
    assert (await reconcile(repair=True)).repaired == 3
    assert (await reconcile(repair=False)).differing == 0
    assert (await routing.assignment(missed))["agent"]["name"] == "Ana"
    assert (await routing.assignment(closed))["state"] == "released"
    assert await routing.loads() == {"Ana": 2}


async def test_assignments_are_told_one_by_one_and_as_a_stream(routing: Any) -> None:
    """With the number of the last event, oldest change first, from any place on."""
    await routing.add_agent("ana")
    first, second = await routing.open(), await routing.open()
    answer = await routing.ask(
        "GetAssignment", service_pb2.GetAssignmentRequest(ticket_id=first.id)
    )
    assert answer.assignment.agent.email == "ana@example.com"
    assert answer.sequence == 1
    with pytest.raises(NotFound):
        await routing.ask(
            "GetAssignment", service_pb2.GetAssignmentRequest(ticket_id=str(new_id()))
        )
    all_of_them = await routing.stream(service_pb2.StreamAssignmentsRequest())
    assert [item.assignment.ticket_id for item in all_of_them] == [first.id, second.id]
    rest = await routing.stream(
        service_pb2.StreamAssignmentsRequest(after_cursor=all_of_them[0].cursor)
    )
    assert [item.assignment.ticket_id for item in rest] == [second.id]
    some = service_pb2.StreamAssignmentsRequest(ticket_ids=[second.id, str(new_id())])
    assert len(await routing.stream(some)) == 1
    later = Timestamp()
    later.FromSeconds(first.created_at.seconds + 1)
    assert not await routing.stream(service_pb2.StreamAssignmentsRequest(updated_since=later))
