"""What intake answers to other services, and what the links in mails do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import Agent
from waybill.intake.v1 import service_pb2
from waybill.intake.v1.service_pb2 import (
    GetTicketRequest,
    ReconcileRequest,
    StreamTicketsRequest,
)
from waybill.routing.v1 import assignment_pb2, events_pb2
from waybill.routing.v1.service_pb2 import StreamAssignmentsResponse
from waybill.routing.v1.service_pb2_grpc import (
    AssignmentServiceServicer,
    add_AssignmentServiceServicer_to_server,
)
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1.service_pb2 import StreamClocksResponse
from waybill.sla.v1.service_pb2_grpc import ClockServiceServicer, add_ClockServiceServicer_to_server
from waybill_chassis.health import Health
from waybill_chassis.problems import Forbidden, Invalid, NotFound
from waybill_chassis.rpc import GrpcServer, Peers, Servicer
from waybill_chassis.settings import SERVICES
from waybill_chassis.testing.services import AWAY
from waybill_intake.store import lists


class Owners(AssignmentServiceServicer, ClockServiceServicer):  # type: ignore[misc]
    """Routing and sla, as far as a comparison needs them."""

    def __init__(self) -> None:
        self.assignments: list[StreamAssignmentsResponse] = []
        self.clocks: list[StreamClocksResponse] = []

    async def StreamAssignments(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for item in self.assignments:
            if not request.ticket_ids or item.assignment.ticket_id in request.ticket_ids:
                yield item

    async def StreamClocks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for item in self.clocks:
            yield item

    GetAssignment = GetClock = GetRemaining = Reconcile = None  # type: ignore[assignment]


@pytest.fixture
async def ask(intake: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Asks intake over gRPC: `ask(stub_method_name, request, role)`."""
    tested = intake.tested
    server = GrpcServer(
        tested.edges.servicers,
        host="127.0.0.1",
        port=0,
        verifier=tested.rt.verifier,
        health=Health(),
    )
    await server.start()
    made: list[Peers] = []

    async def question(method: str, request: Any, role: str = "service", **options: Any) -> Any:
        token = tmp_path / f"token{len(made)}"
        token.write_text(tested.mint.token(role, **options))
        targets = dict.fromkeys(SERVICES, AWAY) | {"intake": f"127.0.0.1:{server.port}"}
        peers = Peers(targets, token_file=token)
        made.append(peers)
        called = getattr(peers.intake.stub, method)
        if method == "StreamTickets":
            return [item async for item in peers.intake.stream(called, request, timeout=10)]
        return await peers.intake.ask(called, request, timeout=10)

    yield question
    for peers in made:
        await peers.stop()
    await server.stop()


async def test_a_ticket_is_told_with_its_conversation(intake: Any, ask: Any, event: Any) -> None:
    """The last public messages, who has it, and the number of the last event; never notes."""
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}/messages"
    for body in ("one", "two", "three"):
        await intake.ask("POST", path, {"body": body}, status=201)
    await intake.ask("POST", path, {"kind": "note", "body": "secret"}, status=201)
    agent = Agent(id="a1", name="Ana", email="ana@example.com")
    assignment = assignment_pb2.Assignment(
        ticket_id=ticket["id"],
        state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
        agent=agent,
        team="support",
    )
    await intake.hear(event(ticket, events_pb2.TicketAssigned(assignment=assignment)))
    request = GetTicketRequest(id_or_number=ticket["number"], message_limit=2)
    answer = await ask("GetTicket", request)
    assert answer.ticket.id == ticket["id"]
    assert answer.sequence == len(await intake.told(ticket))
    assert [message.body for message in answer.messages] == ["two", "three"]
    assert (answer.assignee, answer.team) == (agent, "support")
    assert not answer.action_links
    with pytest.raises(NotFound):
        await ask("GetTicket", request, role="agent", products=("other",))
    with pytest.raises(Forbidden):
        await ask("GetTicket", request, role="submitter")
    with pytest.raises(NotFound):
        await ask("GetTicket", GetTicketRequest(id_or_number="WB-1"))
    with pytest.raises(Invalid):
        await ask("GetTicket", GetTicketRequest(id_or_number="WB-1", message_limit=101))
    request.include_action_links = True
    with pytest.raises(Forbidden):
        await ask("GetTicket", request, role="agent")


async def test_a_change_in_mid_answer_never_makes_its_own_event_look_stale(
    intake: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the answer must still take the event of a change that it does not show."""
    ticket = await intake.open()
    see = lists.see

    async def seen_just_before_a_change(*arguments: Any) -> Any:
        found = await see(*arguments)
        monkeypatch.setattr(lists, "see", see)
        await intake.move(ticket, "resolved")
        return found

    monkeypatch.setattr(lists, "see", seen_just_before_a_change)
    answer = await ask("GetTicket", GetTicketRequest(id_or_number=ticket["id"]))
    # Each change is one version and one event.
    assert (answer.sequence, answer.ticket.version) == (1, 1)
    assert len(await intake.told(ticket)) == 2


async def test_all_tickets_stream_in_the_order_they_changed(intake: Any, ask: Any) -> None:
    """Each with its sequence; from a time, after a cursor, or only some."""
    made = []
    for _ in range(4):
        made.append(await intake.open())
        intake.tested.clock.advance(timedelta(minutes=1))
    await intake.move(made[0], "resolved")
    items = await ask("StreamTickets", StreamTicketsRequest())
    order = [made[n]["id"] for n in (1, 2, 3, 0)]
    assert [item.ticket.id for item in items] == order
    assert items[-1].sequence == 2
    rest = StreamTicketsRequest(after_cursor=items[1].cursor)
    assert [item.ticket.id for item in await ask("StreamTickets", rest)] == order[2:]
    since = StreamTicketsRequest(updated_since=items[2].ticket.updated_at)
    assert [item.ticket.id for item in await ask("StreamTickets", since)] == order[2:]
    some = StreamTicketsRequest(ticket_ids=[order[3], "nonsense"])
    assert [item.ticket.id for item in await ask("StreamTickets", some)] == order[3:]
    assert await ask("StreamTickets", StreamTicketsRequest(ticket_ids=["nonsense"])) == []
    with pytest.raises(Forbidden):
        await ask("StreamTickets", StreamTicketsRequest(), role="agent")


async def links(ask: Any, ticket: Any) -> dict[str, str]:
    request = GetTicketRequest(id_or_number=ticket["id"], include_action_links=True)
    answer = await ask("GetTicket", request)
    name = service_pb2.ActionKind.Name
    return {name(link.kind).removeprefix("ACTION_KIND_"): link.path for link in answer.action_links}


async def test_a_link_asks_and_its_button_acts(intake: Any, ask: Any) -> None:
    """GET changes nothing; POST solves, confirms, rates; what is used up says so."""
    client = intake.tested.client
    ticket = await intake.open(title="<b>Broken</b> & sad")
    first = await links(ask, ticket)
    assert set(first) == {"CONFIRM", "UNSUBSCRIBE"}
    page = await client.get(first["CONFIRM"])
    assert page.status_code == 200
    assert "&lt;b&gt;Broken&lt;/b&gt; &amp; sad" in page.text
    assert "<script" not in page.text
    assert (await intake.read(ticket))["status"] == "pending"
    assert (await client.post(first["CONFIRM"], data={"episode": "1"})).status_code == 200
    assert (await intake.read(ticket))["status"] == "resolved"
    # A second click on the same page does not close what the first one resolved.
    again = await client.post(first["CONFIRM"], data={"episode": "1"})
    assert "moved on" in again.text
    assert (await intake.read(ticket))["status"] == "resolved"
    second = await links(ask, ticket)
    assert set(second) == {"CONFIRM", "REOPEN", "UNSUBSCRIBE"}
    await client.post(second["REOPEN"])
    assert (await intake.read(ticket))["status"] == "in_progress"
    assert "moved on" in (await client.get(second["REOPEN"])).text
    await intake.move(ticket, "resolved")
    await client.post(first["CONFIRM"])
    assert (await intake.read(ticket))["close_reason"] == "user_confirmed"
    assert "moved on" in (await client.post(second["REOPEN"])).text
    rate = (await links(ask, ticket))["RATE"]
    assert (await client.post(rate, data={"score": "9"})).status_code == 422
    assert (await client.post(rate, data={"score": "4", "comment": "ok"})).status_code == 200
    assert (await intake.read(ticket))["rating"]["score"] == 4
    assert "moved on" in (await client.post(rate, data={"score": "5"})).text
    told = (await intake.told(ticket))[-1].message
    assert told.actor.id == ticket["submitter"]["id"]
    for _ in range(2):
        done = await client.post(first["UNSUBSCRIBE"], data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200


async def test_who_wants_no_more_messages_is_told_of_once(intake: Any, ask: Any) -> None:
    """By a TicketEdited of the submitter's; the ticket carries it from then on, closed or not."""
    ticket = await intake.open()
    path = (await links(ask, ticket))["UNSUBSCRIBE"]
    await intake.move(ticket, "closed")
    assert not (await intake.told(ticket))[-1].message.ticket.HasField("unsubscribed_at")
    for _ in range(2):
        await intake.tested.client.post(path)
    assert await intake.names(ticket) == ["TicketOpened", "TicketStatusChanged", "TicketEdited"]
    told = (await intake.told(ticket))[-1].message
    asked_at = intake.tested.clock.now()
    assert told.ticket.unsubscribed_at.ToDatetime(UTC) == asked_at
    assert (told.actor.id, told.cause.type) == (ticket["submitter"]["id"], "POST /r/{token}")
    (change,) = told.changes
    assert (change.field, change.before.WhichOneof("kind")) == ("unsubscribed_at", "null_value")
    assert datetime.fromisoformat(change.after.string_value) == asked_at
    owned = await ask("GetTicket", GetTicketRequest(id_or_number=ticket["id"]))
    assert owned.ticket == told.ticket
    assert "unsubscribed_at" not in await intake.read(ticket)


async def test_a_link_that_ended_or_was_cut_off_says_so(intake: Any, ask: Any) -> None:
    """Kindly, and without doing anything."""
    ticket = await intake.open()
    path = (await links(ask, ticket))["CONFIRM"]
    client = intake.tested.client
    assert (await client.post(path[:-1])).status_code == 404
    assert (await client.get("/r/nonsense")).status_code == 404
    intake.tested.clock.advance(timedelta(days=31))
    assert (await client.get(path)).status_code == 410
    assert (await client.post(path)).status_code == 410
    assert await intake.names(ticket) == ["TicketOpened"]


async def test_a_comparison_finds_and_repairs_what_differs(
    intake: Any, ask: Any, tmp_path: Path
) -> None:
    """What an event would have brought is there afterwards; who is away is named."""
    ticket, unchanged = await intake.open(), await intake.open()
    rt, owners = intake.tested.rt, Owners()
    report = (await ask("Reconcile", ReconcileRequest(repair=True))).report
    assert list(report.unreachable) == ["routing", "sla"]
    server = GrpcServer(
        [
            Servicer(
                add_AssignmentServiceServicer_to_server,
                owners,
                "waybill.routing.v1.AssignmentService",
            ),
            Servicer(add_ClockServiceServicer_to_server, owners, "waybill.sla.v1.ClockService"),
        ],
        host="127.0.0.1",
        port=0,
        verifier=rt.verifier,
        health=Health(),
    )
    await server.start()
    token = tmp_path / "own"
    token.write_text(intake.tested.mint.token("service"))
    peers = Peers(dict.fromkeys(SERVICES, f"127.0.0.1:{server.port}"), token_file=token)
    rt.peers.routing, rt.peers.sla = peers.routing, peers.sla
    assignment = assignment_pb2.Assignment(
        ticket_id=ticket["id"],
        state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
        agent=Agent(id="a1", name="Ana", email="ana@example.com"),
        team="support",
        since=Timestamp(seconds=1_767_603_600),
    )
    owners.assignments = [StreamAssignmentsResponse(assignment=assignment, sequence=2)]
    target = clock_pb2.Target(kind=words.TARGET_KIND_RESPONSE, state=words.TARGET_STATE_RUNNING)
    clock = clock_pb2.Clock(ticket_id=ticket["id"], targets=[target])
    owners.clocks = [StreamClocksResponse(clock=clock, sequence=1)]
    try:
        report = (await ask("Reconcile", ReconcileRequest())).report
        assert (report.checked, report.differing, report.repaired) == (2, 2, 0)
        assert [found.field for found in report.differences] == ["(missing)", "(missing)"]
        report = (await ask("Reconcile", ReconcileRequest(repair=True))).report
        assert (report.differing, report.repaired) == (2, 2)
        now = await intake.read(ticket)
        assert (now["assignee"]["name"], now["status"]) == ("Ana", "in_progress")
        assert now["sla"]["response"]["state"] == "running"
        async with rt.database.unit_of_work() as uow:
            await uow.execute(text("UPDATE ticket_facts SET team = 'lost'"))
        report = (await ask("Reconcile", ReconcileRequest(repair=True))).report
        (found,) = report.differences
        assert (found.field, found.held, found.owned) == ("team", "lost", "support")
        assert (await intake.read(ticket))["team"] == "support"
        assert await intake.names(unchanged) == ["TicketOpened"]
    finally:
        await peers.stop()
        await server.stop()
