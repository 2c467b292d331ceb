"""What follows from what routing hears."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1.events_pb2 import TicketEdited, TicketMerged
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.sla.v1.events_pb2 import TargetAtRisk
from waybill_routing import usecases
from waybill_routing.demo import seed


def kinds(told: list[Any]) -> list[str]:
    return [type(message).__name__ for message in told]


async def test_an_opened_ticket_goes_to_the_least_loaded_agent_who_is_there(routing: Any) -> None:
    """The event says who, why, how and what led to it; the projection says the same."""
    await routing.add_agent("ana")
    await routing.add_agent("ben")
    await routing.add_agent("cleo", presence="away")
    first = routing.opened(routing.ticket())
    await routing.hear(first)
    second = await routing.open()
    (told,) = await routing.told(first.subject)
    assert isinstance(told, events_pb2.TicketAssigned)
    assert told.assignment.state == assignment_pb2.ASSIGNMENT_STATE_ASSIGNED
    assert told.assignment.method == assignment_pb2.ASSIGNMENT_METHOD_AUTOMATIC
    assert told.assignment.why == "least loaded of 2 available in support (0 of 200)"
    assert told.assignment.agent.email in ("ana@example.com", "ben@example.com")
    assert not told.assignment.HasField("unassigned_since")
    assert told.cause.id == first.id
    assert told.actor.id == "routing"
    shown = await routing.assignment(second)
    assert shown["team"] == "support"
    assert shown["version"] == 1
    assert await routing.loads() == {"Ana": 1, "Ben": 1, "Cleo": 0}
    (row,) = await routing.rows("SELECT why FROM decisions WHERE ticket_id = :id", id=second.id)
    assert row.why == shown["why"]


async def test_a_batch_of_openings_is_spread_evenly(routing: Any) -> None:
    """Five hundred at once over five agents: a hundred each, one event each."""
    for name in ("ana", "ben", "cleo", "dan", "elif"):
        await routing.add_agent(name)
    batch = [routing.opened(routing.ticket()) for _ in range(500)]
    await routing.hear(*batch)
    assert set((await routing.loads()).values()) == {100}
    (row,) = await routing.rows(
        "SELECT count(*) AS told, count(DISTINCT aggregateid) AS tickets FROM outbox"
        " WHERE aggregatetype = 'ticket'"
    )
    assert (row.told, row.tickets) == (500, 500)


async def test_batches_that_speak_of_the_same_tickets_do_not_block_one_another(
    routing: Any,
) -> None:
    """In whatever order each names them, and whether the tickets are known or not."""
    for name in ("ana", "ben"):
        await routing.add_agent(name, "support", "tech_team")
    tickets = [routing.ticket() for _ in range(60)]
    await routing.hear(*(routing.opened(ticket) for ticket in tickets[::2]))
    batches = []
    for number in range(8):
        order = tickets if number % 2 else list(reversed(tickets))
        batches.append(
            routing.hear(*(routing.escalated(t, "tech_team", sequence=number + 1) for t in order))
            if number % 4 < 2
            else routing.hear(*(routing.moved(t, words.STATUS_IN_PROGRESS, 2) for t in order))
        )
    await asyncio.gather(*batches)
    assert await routing.loads() == {"Ana": 30, "Ben": 30}
    (row,) = await routing.rows("SELECT count(*) AS n FROM assignments WHERE team = 'tech_team'")
    assert row.n == 60


async def test_what_was_overlooked_is_found_by_the_sweep(routing: Any) -> None:
    """A ticket may have been locked when somebody came; a moment later it is looked at again."""
    ticket = await routing.open()
    await routing.add_agent("ana", presence="away")
    async with routing.database.unit_of_work() as uow:
        await uow.connection.exec_driver_sql("UPDATE agents SET presence = 'available'")
    async with routing.database.unit_of_work() as uow:
        assert await usecases.drain(uow) == 1
    async with routing.database.unit_of_work() as uow:
        assert await usecases.drain(uow) == 0
    assert (await routing.assignment(ticket))["agent"]["name"] == "Ana"


async def test_the_demonstration_is_there_once_however_often_it_is_made(routing: Any) -> None:
    """Six agents, all in support, with ids that never change."""
    for _ in range(2):
        async with routing.database.unit_of_work() as uow:
            await seed(uow)
    rows = await routing.rows("SELECT id, email FROM agents ORDER BY email")
    assert [row.email.partition("@")[0] for row in rows] == [
        "ana",
        "ben",
        "chloe",
        "deepak",
        "elif",
        "femi",
    ]
    assert str(rows[0].id) == str(uuid5(NAMESPACE_URL, "mailto:ana@example.com"))
    for _ in range(12):
        await routing.open()
    assert set((await routing.loads()).values()) == {2}


async def test_an_opening_that_is_heard_again_changes_nothing(routing: Any) -> None:
    """Neither a redelivery nor a replay long after the ticket went on gives it to somebody else."""
    await routing.add_agent("ana")
    await routing.add_agent("ben")
    ticket = routing.ticket()
    await routing.hear(routing.opened(ticket))
    before = await routing.assignment(ticket)
    await routing.hear(routing.moved(ticket, words.STATUS_IN_PROGRESS, 2))
    await routing.hear(routing.opened(ticket))
    await routing.hear(routing.moved(ticket, words.STATUS_PENDING, 3))
    assert await routing.assignment(ticket) == before
    assert kinds(await routing.told(ticket.id)) == ["TicketAssigned"]


async def test_tickets_wait_until_somebody_comes_the_most_urgent_first(routing: Any) -> None:
    """Whoever becomes available gets what waits at once, as far as their room goes."""
    ana = await routing.add_agent("ana", capacity=3, presence="offline")
    now = routing.service.clock.now()
    low = await routing.open(priority=words.PRIORITY_LOW, opened_at=now - timedelta(hours=3))
    young = await routing.open(opened_at=now - timedelta(minutes=1))
    old = await routing.open(opened_at=now - timedelta(hours=1))
    urgent = await routing.open(priority=words.PRIORITY_URGENT)
    (told,) = await routing.told(low.id)
    assert isinstance(told, events_pb2.TicketQueued)
    assert told.assignment.why == "nobody in support is available"
    assert told.assignment.unassigned_since.ToDatetime().hour == (now - timedelta(hours=3)).hour
    # A warning re-orders the queue and moves nothing.
    warning = TargetAtRisk(share=0.9, kind=words.TARGET_KIND_RESOLUTION)
    await routing.hear(routing.event(warning, young.id, 1, owner="sla"))
    assert kinds(await routing.told(young.id)) == ["TicketQueued"]

    answer = await routing.client.put(
        f"/v1/agents/{ana}/presence", headers=routing.headers(), json={"presence": "available"}
    )
    assert answer.status_code == 200
    assert answer.json()["open_tickets"] == 3
    (_, told) = await routing.told(urgent.id)
    assert isinstance(told, events_pb2.TicketAssigned)
    assert told.actor.id == "routing"
    states = [(await routing.assignment(t))["state"] for t in (urgent, young, old, low)]
    assert states == ["assigned", "assigned", "assigned", "queued"]
    changed = (await routing.told(ana))[-1]
    assert changed.previous_presence == assignment_pb2.PRESENCE_OFFLINE
    assert changed.agent_state.presence == assignment_pb2.PRESENCE_AVAILABLE


async def test_a_closed_ticket_frees_its_agent_for_what_waits(routing: Any) -> None:
    """The closed one is released, and the next one assigned, by the same event."""
    await routing.add_agent("ana", capacity=1)
    done = await routing.open()
    waiting = await routing.open()
    assert (await routing.assignment(waiting))["state"] == "queued"
    closing = routing.moved(done, words.STATUS_CLOSED, 2)
    await routing.hear(closing)
    (_, released) = await routing.told(done.id)
    assert isinstance(released, events_pb2.TicketReleased)
    assert released.reason == events_pb2.RELEASE_REASON_CLOSED
    assert released.previous_agent.name == "Ana"
    assert released.assignment.state == assignment_pb2.ASSIGNMENT_STATE_RELEASED
    (queued, assigned) = await routing.told(waiting.id)
    assert isinstance(assigned, events_pb2.TicketAssigned)
    assert assigned.cause.id == closing.id
    assert assigned.assignment.version == queued.assignment.version + 1
    assert await routing.loads() == {"Ana": 1}


async def test_a_resolved_ticket_stays_with_its_agent_and_takes_no_room(routing: Any) -> None:
    """Reopened, it takes its room again, and nobody is told anything."""
    await routing.add_agent("ana")
    ticket = await routing.open()
    await routing.hear(routing.moved(ticket, words.STATUS_RESOLVED, 2))
    assert await routing.loads() == {"Ana": 0}
    assert (await routing.assignment(ticket))["agent"]["name"] == "Ana"
    await routing.hear(routing.moved(ticket, words.STATUS_IN_PROGRESS, 3))
    assert await routing.loads() == {"Ana": 1}
    assert kinds(await routing.told(ticket.id)) == ["TicketAssigned"]


async def test_what_was_resolved_in_the_queue_is_offered_to_nobody(routing: Any) -> None:
    """Reopened it is at once; closed without ever having had an agent, it leaves the queue."""
    ticket, reopened = await routing.open(), await routing.open()
    for resolved in (ticket, reopened):
        await routing.hear(routing.moved(resolved, words.STATUS_RESOLVED, 2))
    await routing.add_agent("ana")
    assert (await routing.assignment(ticket))["state"] == "queued"
    await routing.hear(routing.moved(reopened, words.STATUS_IN_PROGRESS, 3))
    assert (await routing.assignment(reopened))["agent"]["name"] == "Ana"
    await routing.hear(routing.moved(ticket, words.STATUS_CLOSED, 3))
    released = (await routing.told(ticket.id))[-1]
    assert isinstance(released, events_pb2.TicketReleased)
    assert not released.HasField("previous_agent")


async def test_an_escalation_moves_a_ticket_to_the_first_of_the_teams(routing: Any) -> None:
    """It leaves its agent and goes to somebody of the new team, once however often it is heard."""
    await routing.add_agent("ana")
    ticket = await routing.open()
    await routing.add_agent("tess", "tech_team")
    escalation = routing.escalated(ticket, "tech_team", "management", sequence=4)
    await routing.hear(escalation)
    await routing.hear(escalation)
    (_, released, assigned) = await routing.told(ticket.id)
    assert isinstance(released, events_pb2.TicketReleased)
    assert released.reason == events_pb2.RELEASE_REASON_ESCALATED
    assert isinstance(assigned, events_pb2.TicketAssigned)
    assert assigned.assignment.agent.name == "Tess"
    assert assigned.assignment.team == "tech_team"
    assert await routing.loads() == {"Ana": 0, "Tess": 1}


async def test_an_escalated_ticket_waits_in_the_new_queue_or_stays_with_who_is_in_both_teams(
    routing: Any,
) -> None:
    """A release does not start the wait anew."""
    await routing.add_agent("ana", "support", "senior_support", capacity=1)
    await routing.add_agent("ben", "support")
    now = routing.service.clock.now()
    stays, goes = (routing.ticket(opened_at=now - timedelta(hours=1)) for _ in range(2))
    await routing.hear(routing.opened(stays), routing.opened(goes))
    if (await routing.assignment(stays))["agent"]["name"] == "Ben":
        stays, goes = goes, stays
    await routing.hear(
        routing.escalated(stays, "senior_support"), routing.escalated(goes, "senior_support")
    )
    assert kinds(await routing.told(stays.id)) == ["TicketAssigned", "TicketAssigned"]
    shown = await routing.assignment(stays)
    assert (shown["agent"]["name"], shown["team"]) == ("Ana", "senior_support")
    (_, _, queued) = await routing.told(goes.id)
    assert isinstance(queued, events_pb2.TicketQueued)
    assert queued.previous_team == "support"
    assert queued.assignment.team == "senior_support"
    assert queued.assignment.unassigned_since == goes.created_at


async def test_an_escalation_may_be_heard_before_the_opening(routing: Any) -> None:
    """The ticket is put where it belongs, and its facts follow."""
    tess = await routing.add_agent("tess", "tech_team")
    await routing.add_agent("ana")
    ticket = routing.ticket()
    await routing.hear(routing.escalated(ticket, "tech_team"))
    await routing.hear(routing.opened(ticket))
    shown = await routing.assignment(ticket)
    assert shown["agent"]["id"] == str(tess)
    assert kinds(await routing.told(ticket.id)) == ["TicketAssigned"]


async def test_an_undone_merge_gives_the_ticket_an_agent_again(routing: Any) -> None:
    """Merged it is released; what only edits it changes the picture, and no more."""
    await routing.add_agent("ana")
    ticket = await routing.open()
    closed = routing.ticket(ticket.id, status=words.STATUS_CLOSED)
    await routing.hear(routing.event(TicketMerged(ticket=closed), ticket.id, 2))
    again = routing.ticket(ticket.id, priority=words.PRIORITY_HIGH)
    await routing.hear(routing.event(TicketMerged(ticket=again, undone=True), ticket.id, 3))
    edited = routing.ticket(ticket.id, priority=words.PRIORITY_LOW)
    await routing.hear(routing.event(TicketEdited(ticket=edited), ticket.id, 4))
    assert kinds(await routing.told(ticket.id)) == [
        "TicketAssigned",
        "TicketReleased",
        "TicketAssigned",
    ]
    (row,) = await routing.rows("SELECT priority, state FROM assignments")
    assert (row.priority, row.state) == ("low", "assigned")


async def test_rules_send_tickets_to_the_queue_they_name(routing: Any) -> None:
    """The first rule that matches wins; the default one takes the rest."""
    await routing.add_agent("ana")
    await routing.add_agent("tess", "tech_team")
    answer = await routing.client.post(
        "/v1/routing-rules",
        headers=routing.headers("admin"),
        json={"queue": "tech_team", "type": "technical", "product": "demo"},
    )
    assert answer.status_code == 201
    mine = await routing.open()
    other = await routing.open(product="shop")
    assert (await routing.assignment(mine))["agent"]["name"] == "Tess"
    assert (await routing.assignment(other))["agent"]["name"] == "Ana"
    rules = await routing.client.get("/v1/routing-rules", headers=routing.headers("admin"))
    assert [rule["queue"] for rule in rules.json()["items"]] == ["tech_team", "support"]
