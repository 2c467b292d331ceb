"""What others ask sla over gRPC, and how it compares its picture with the owners."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.intake.v1 import service_pb2 as intake
from waybill.intake.v1.service_pb2_grpc import (
    TicketServiceServicer,
    add_TicketServiceServicer_to_server,
)
from waybill.routing.v1 import service_pb2 as routing
from waybill.routing.v1.assignment_pb2 import Assignment
from waybill.routing.v1.service_pb2_grpc import (
    AssignmentServiceServicer,
    add_AssignmentServiceServicer_to_server,
)
from waybill.sla.v1 import clock_pb2, service_pb2
from waybill_chassis import problems
from waybill_chassis.clock import ManualClock
from waybill_chassis.health import Health
from waybill_chassis.ids import new_id
from waybill_chassis.rpc import GrpcServer, Peers, Servicer
from waybill_chassis.settings import SERVICES
from waybill_chassis.testing import services
from waybill_chassis.testing.tokens import Mint
from waybill_sla.bootstrap import build
from waybill_sla.settings import Settings

HOUR = timedelta(hours=1)


class Owners(TicketServiceServicer, AssignmentServiceServicer):
    """intake and routing as they might answer."""

    def __init__(self) -> None:
        self.stories: list[Any] = []
        self.away = False
        self.assignments: list[tuple[Assignment, int]] = []

    async def GetTicket(  # noqa: N802 - the contract names it
        self, request: Any, context: Any
    ) -> Any:
        for story in self.stories:
            if request.id_or_number in (story.id, story.ticket.number):
                return intake.GetTicketResponse(ticket=story.ticket, sequence=story.sequence)
        raise problems.NotFound("no such ticket")

    async def StreamTickets(  # noqa: N802 - the contract names it
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        if self.away:
            raise problems.Unavailable("intake is away")
        for story in self.stories:
            if not request.ticket_ids or story.id in request.ticket_ids:
                yield intake.StreamTicketsResponse(ticket=story.ticket, sequence=story.sequence)

    async def StreamAssignments(  # noqa: N802 - the contract names it
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        for assignment, sequence in self.assignments:
            if not request.ticket_ids or assignment.ticket_id in request.ticket_ids:
                yield routing.StreamAssignmentsResponse(assignment=assignment, sequence=sequence)


@pytest.fixture
def token_file(mint: Mint, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(mint.token("service", sub="routing"))
    return path


def grpc_server(mint: Mint, *servicers: Servicer) -> GrpcServer:
    return GrpcServer(
        servicers, host="127.0.0.1", port=0, verifier=mint.verifier(), health=Health()
    )


@pytest.fixture
async def owners(mint: Mint) -> AsyncIterator[tuple[Owners, str]]:
    answers = Owners()
    server = grpc_server(
        mint,
        Servicer(add_TicketServiceServicer_to_server, answers, "waybill.intake.v1.TicketService"),
        Servicer(
            add_AssignmentServiceServicer_to_server,
            answers,
            "waybill.routing.v1.AssignmentService",
        ),
    )
    await server.start()
    yield answers, f"127.0.0.1:{server.port}"
    await server.stop()


@pytest.fixture
async def asked(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    owners: tuple[Owners, str],
    token_file: Path,
    driven: Callable[[Any], Any],
) -> AsyncIterator[tuple[Any, Any]]:
    """The service with its owners, and a peer to ask it with."""
    async with services.tested_service(
        "sla",
        build,
        Settings,
        database_url=await new_service_database("sla"),
        mint=mint,
        clock=clock,
        intake_grpc=owners[1],
        routing_grpc=owners[1],
        service_token_file=token_file,
        reconcile_pause_seconds=0.05,
    ) as service:
        server = grpc_server(mint, *service.edges.servicers)
        await server.start()
        targets = dict.fromkeys(SERVICES, services.AWAY) | {"sla": f"127.0.0.1:{server.port}"}
        peers = Peers(targets, token_file=token_file)
        yield driven(service), peers.sla
        await peers.stop()
        await server.stop()


async def test_a_clock_is_given_with_its_ledger_and_its_place_in_the_stream(asked: Any) -> None:
    """GetClock: segments, what is left, and the number of the last event."""
    sla, peer = asked
    story, start = sla.ticket("high"), sla.clock.now()
    await sla.hear(story.opened(), story.moved("awaiting_user", start + HOUR))
    sla.clock.advance(2 * HOUR)
    answer = await peer.ask(
        peer.stub.GetClock, service_pb2.GetClockRequest(ticket_id=story.id), timeout=5
    )
    assert answer.sequence == 2
    assert answer.clock.state == clock_pb2.CLOCK_STATE_PAUSED
    assert [segment.working_time.ToTimedelta() for segment in answer.segments] == [HOUR, HOUR]
    assert answer.remaining[1].remaining.ToTimedelta() == 23 * HOUR
    with pytest.raises(problems.NotFound):
        await peer.ask(peer.stub.GetClock, service_pb2.GetClockRequest(ticket_id="x"), timeout=5)


async def test_what_is_left_of_many_is_told_in_the_order_of_the_question(asked: Any) -> None:
    """GetRemaining names unknown tickets, and leaves out targets that no longer run."""
    sla, peer = asked
    one, two = sla.ticket("high"), sla.ticket("urgent")
    await sla.hear(one.opened(), two.opened(), two.replied(sla.clock.now()))
    sla.clock.advance(HOUR)
    request = service_pb2.GetRemainingRequest(ticket_ids=[two.id, "unknown", one.id])
    answer = await peer.ask(peer.stub.GetRemaining, request, timeout=5)
    assert [ticket.ticket_id for ticket in answer.tickets] == [two.id, one.id]
    (left,) = answer.tickets[0].targets
    assert left.kind == words.TARGET_KIND_RESOLUTION
    assert left.remaining.ToTimedelta() == 3 * HOUR
    assert list(answer.unknown_ticket_ids) == ["unknown"]


async def test_what_is_left_of_thousands_is_told_at_once(asked: Any) -> None:
    """Those that are known and those that are not, in one call; more than ten thousand are not."""
    sla, peer = asked
    stories = [sla.ticket() for _ in range(1500)]
    await sla.hear(*(story.opened() for story in stories))
    strange = [str(new_id()) for _ in range(8500)]
    ids = [story.id for story in stories] + strange
    request = service_pb2.GetRemainingRequest(ticket_ids=ids)
    answer = await peer.ask(peer.stub.GetRemaining, request, timeout=30)
    assert [ticket.ticket_id for ticket in answer.tickets] == ids[:1500]
    assert all(len(ticket.targets) == 2 for ticket in answer.tickets)
    assert list(answer.unknown_ticket_ids) == strange
    request.ticket_ids.append("one more")
    with pytest.raises(problems.Invalid, match="10000"):
        await peer.ask(peer.stub.GetRemaining, request, timeout=5)


async def test_all_clocks_are_streamed_and_a_cursor_goes_on_behind(asked: Any) -> None:
    """StreamClocks: oldest change first; from a cursor only what follows; or by id."""
    sla, peer = asked
    stories = [sla.ticket() for _ in range(3)]
    for story in stories:
        await sla.hear(story.opened())
        sla.clock.advance(timedelta(minutes=1))

    async def stream(**request: Any) -> list[Any]:
        asked = service_pb2.StreamClocksRequest(**request)
        return [item async for item in peer.stream(peer.stub.StreamClocks, asked, timeout=5)]

    everything = await stream()
    assert [item.clock.ticket_id for item in everything] == [story.id for story in stories]
    rest = await stream(after_cursor=everything[0].cursor)
    assert [item.clock.ticket_id for item in rest] == [story.id for story in stories[1:]]
    assert len(await stream(ticket_ids=[stories[1].id])) == 1


async def test_reconcile_finds_and_repairs_what_was_missed(
    asked: Any, owners: tuple[Owners, str]
) -> None:
    """A ticket never heard of and a move that was missed are put right for good."""
    sla, peer = asked
    known, missed = sla.ticket(), sla.ticket()
    await sla.hear(known.opened())
    known.moved("awaiting_user", sla.clock.now() + HOUR)
    missed.opened()
    sla.clock.advance(2 * HOUR)
    owners[0].stories = [known, missed]
    owners[0].assignments = [(Assignment(ticket_id=known.id), 3)]

    async def reconciled(repair: bool) -> Any:
        request = service_pb2.ReconcileRequest(repair=repair)
        return (await peer.ask(peer.stub.Reconcile, request, timeout=10)).report

    only_seen = await reconciled(repair=False)
    assert (only_seen.checked, only_seen.differing, only_seen.repaired) == (3, 3, 0)
    fields = {(d.owner, d.subject, d.field) for d in only_seen.differences}
    assert ("intake", missed.id, "(missing)") in fields
    assert ("intake", known.id, "status") in fields
    assert ("routing", known.id, "(missing)") in fields
    assert (await reconciled(repair=True)).repaired == 3
    assert (await reconciled(repair=True)).differing == 0
    assert await sla.names(known) == ["ClockStarted", "ClockPaused"]
    assert await sla.names(missed) == ["ClockStarted"]


async def test_an_owner_that_is_away_is_named(asked: Any, owners: tuple[Owners, str]) -> None:
    """Nothing is known of its facts, so nothing is said of them."""
    _, peer = asked
    owners[0].away = True
    request = service_pb2.ReconcileRequest(repair=True)
    report = (await peer.ask(peer.stub.Reconcile, request, timeout=10)).report
    assert list(report.unreachable) == ["intake"]


async def test_a_ticket_not_known_yet_is_asked_of_intake(
    asked: Any, owners: tuple[Owners, str]
) -> None:
    """The clock starts from the answer, and its event, when it comes, counts for nothing more."""
    sla, _ = asked
    story = sla.ticket("urgent")
    opened = story.opened()
    owners[0].stories = [story]
    answer = await sla.client.get(
        f"/v1/tickets/{story.ticket.number}/sla", headers=sla.mint.headers("agent")
    )
    assert answer.status_code == 200
    assert answer.json()["ticket_id"] == story.id
    await sla.hear(opened)
    assert await sla.names(story) == ["ClockStarted"]
    unknown = await sla.client.get("/v1/tickets/WB-4711/sla", headers=sla.mint.headers("agent"))
    assert unknown.status_code == 404
