"""What notify asks of others, and answers to them, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from waybill.common.v1.actor_pb2 import Agent
from waybill.common.v1.ticket_enums_pb2 import STATUS_CLOSED
from waybill.intake.v1 import service_pb2 as intake
from waybill.intake.v1 import service_pb2_grpc as intake_grpc
from waybill.kb.v1 import article_pb2
from waybill.kb.v1 import service_pb2 as kb
from waybill.kb.v1 import service_pb2_grpc as kb_grpc
from waybill.notify.v1.service_pb2 import ListDeliveriesRequest, ReconcileRequest
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import service_pb2 as routing
from waybill.routing.v1 import service_pb2_grpc as routing_grpc
from waybill_chassis.clock import ManualClock
from waybill_chassis.health import Health
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Forbidden, Invalid
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import GrpcServer, Peers
from waybill_chassis.settings import SERVICES
from waybill_chassis.testing import services
from waybill_chassis.testing.tokens import Mint
from waybill_notify import store
from waybill_notify.bootstrap import build
from waybill_notify.consumers import handle
from waybill_notify.letters import NO_ANSWER
from waybill_notify.questions import Questions
from waybill_notify.reconciling import owners
from waybill_notify.settings import Settings


class Others(
    intake_grpc.TicketServiceServicer,
    kb_grpc.KnowledgeServiceServicer,
    routing_grpc.AssignmentServiceServicer,
):
    """Stands in for intake, kb and routing."""

    def __init__(self) -> None:
        self.tickets: list[Any] = []
        self.assignments: list[Any] = []
        self.confidence = 0.9
        self.visibility = article_pb2.VISIBILITY_PUBLIC
        self.slow = False
        self.asked: list[Any] = []

    async def GetTicket(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        self.asked.append(request)
        return intake.GetTicketResponse(
            action_links=[
                intake.ActionLink(kind=intake.ACTION_KIND_CONFIRM, path="/r/yes"),
                intake.ActionLink(kind=intake.ACTION_KIND_UNSUBSCRIBE, path="/r/bye"),
                intake.ActionLink(kind=99, path="/r/new"),
            ]
        )

    async def Suggest(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        self.asked.append(request)
        if self.slow:
            await asyncio.sleep(30)
        article = article_pb2.Article(title="Oil", summary="Use oil.", visibility=self.visibility)
        return kb.SuggestResponse(
            suggestions=[kb.Suggestion(article=article, confidence=self.confidence)]
        )

    async def StreamTickets(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        for owned in self.tickets:
            if not request.ticket_ids or owned.ticket.id in request.ticket_ids:
                yield owned

    async def StreamAssignments(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        for owned in self.assignments:
            if not request.ticket_ids or owned.assignment.ticket_id in request.ticket_ids:
                yield owned


@pytest.fixture
async def others() -> AsyncIterator[tuple[Others, str]]:
    server, servicer = grpc.aio.server(), Others()
    intake_grpc.add_TicketServiceServicer_to_server(servicer, server)
    kb_grpc.add_KnowledgeServiceServicer_to_server(servicer, server)
    routing_grpc.add_AssignmentServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def peered(
    new_service_database: Callable[[str], Awaitable[str]],
    mint: Mint,
    clock: ManualClock,
    others: tuple[Others, str],
) -> AsyncIterator[Any]:
    async with services.tested_service(
        "notify",
        build,
        Settings,
        database_url=await new_service_database("notify"),
        mint=mint,
        clock=clock,
        reconcile_pause_seconds=0.0,
        public_url="https://help.example.com/",
        **{f"{name}_grpc": others[1] for name in ("intake", "kb", "routing")},
    ) as service:
        yield service


@pytest.fixture
async def stub(peered: Any, mint: Mint, tmp_path: Path) -> AsyncIterator[Any]:
    """Notify as another service sees it."""
    server = GrpcServer(
        peered.edges.servicers,
        host="127.0.0.1",
        port=0,
        verifier=peered.rt.verifier,
        health=Health(),
    )
    await server.start()
    token = tmp_path / "token"
    token.write_text(mint.token("service", sub="intake"))
    targets = dict.fromkeys(SERVICES, services.AWAY) | {"notify": f"127.0.0.1:{server.port}"}
    peers = Peers(targets, token_file=token)
    yield peers.notify
    await peers.stop()
    await server.stop()


async def claimed(notify: Any) -> Any:
    async with notify.service.rt.database.unit_of_work() as uow:
        [delivery] = await store.claim(uow, new_id(), most=1, seconds=10)
    return delivery


async def test_a_receipt_gets_links_and_the_best_public_answer_that_is_sure_enough(
    notify: Any, peered: Any, others: tuple[Others, str]
) -> None:
    """Each below the gateway's address; an unsure or an internal answer is left out."""
    await notify.hear(notify.ticket().opened())
    receipt = await claimed(notify)
    questions = Questions(peered.rt.peers, peered.rt.settings)
    links, answer = await questions.ask(receipt)
    assert links.confirm == "https://help.example.com/r/yes"
    assert links.unsubscribe == "https://help.example.com/r/bye"
    assert links.reopen is None
    assert (answer.title, answer.text) == ("Oil", "Use oil.")
    others[0].confidence = 0.4
    assert (await questions.ask(receipt))[1] is NO_ANSWER
    others[0].confidence, others[0].visibility = 0.9, article_pb2.VISIBILITY_INTERNAL
    assert (await questions.ask(receipt))[1] is NO_ANSWER


async def test_a_slow_kb_costs_the_answer_and_not_the_receipt(
    notify: Any, peered: Any, others: tuple[Others, str]
) -> None:
    """The links are there all the same."""
    await notify.hear(notify.ticket().opened())
    others[0].slow = True
    settings = peered.rt.settings.model_copy(update={"suggest_timeout_seconds": 0.1})
    links, answer = await Questions(peered.rt.peers, settings).ask(await claimed(notify))
    assert links.confirm
    assert answer is None


async def test_with_everybody_away_there_are_neither_links_nor_an_answer(notify: Any) -> None:
    """And still a mail that can be written."""
    await notify.hear(notify.ticket().opened())
    receipt = await claimed(notify)
    rt = notify.service.rt
    links, answer = await Questions(rt.peers, rt.settings).ask(receipt)
    assert (links.confirm, answer) == (None, None)


async def test_a_reply_needs_nothing_of_anybody(
    notify: Any, peered: Any, others: tuple[Others, str]
) -> None:
    """Links that let somebody act are not made where they are not used."""
    await notify.hear(notify.ticket().message("hello"))
    await Questions(peered.rt.peers, peered.rt.settings).ask(await claimed(notify))
    assert others[0].asked == []


async def test_other_services_can_read_what_was_sent_about_a_ticket(
    notify: Any, peered: Any, stub: Any
) -> None:
    """The oldest first, in pages; nothing for a ticket nobody has heard of."""
    told = notify.ticket()
    events = [told.opened(), told.message("a"), told.message("b")]
    async with peered.rt.database.unit_of_work() as uow:
        await handle(uow, events, feed_products=frozenset(), mail_domain="example.com")

    async def ask(**request: Any) -> Any:
        asked = ListDeliveriesRequest(**request)
        return await stub.ask(stub.stub.ListDeliveries, asked, timeout=5)

    first = await ask(ticket_id=str(told.id), limit=2)
    assert [d.template for d in first.deliveries] == ["receipt", "agent_reply"]
    rest = await ask(ticket_id=str(told.id), cursor=first.next_cursor)
    assert [d.template for d in rest.deliveries] == ["agent_reply"]
    assert rest.next_cursor == ""
    assert list((await ask(ticket_id=str(notify.ticket().id))).deliveries) == []
    with pytest.raises(Invalid):
        await ask(ticket_id="WB-1")
    with pytest.raises(Invalid):
        await ask(ticket_id=str(told.id), limit=1000)


async def test_pictures_are_compared_with_their_owners_and_repaired(
    notify: Any, peered: Any, others: tuple[Others, str], stub: Any
) -> None:
    """What was missed is found and put right; nobody is written to for it."""
    owner, _ = others
    known, missed = notify.ticket(), notify.ticket()
    async with peered.rt.database.unit_of_work() as uow:
        await handle(uow, [known.opened()], feed_products=frozenset(), mail_domain="example.com")
    known.ticket.status = STATUS_CLOSED
    for told in (known, missed):
        owner.tickets.append(intake.StreamTicketsResponse(ticket=told.ticket, sequence=2))
        owner.assignments.append(
            routing.StreamAssignmentsResponse(
                assignment=assignment_pb2.Assignment(
                    ticket_id=str(told.id),
                    state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
                    agent=Agent(id="a", name="Ana"),
                    team="support",
                ),
                sequence=1,
            )
        )

    async def compare(repair: bool) -> Any:
        request = ReconcileRequest(repair=repair, updated_since=Timestamp())
        return (await stub.ask(stub.stub.Reconcile, request, timeout=10)).report

    found = await compare(False)
    assert (found.checked, found.differing, found.repaired) == (4, 4, 0)
    by_field = {(d.owner, d.subject): d.field for d in found.differences}
    assert by_field["intake", str(known.id)] == "status"
    assert by_field["intake", str(missed.id)] == "(missing)"
    assert (await compare(True)).repaired == 4
    assert (await compare(False)).differing == 0
    async with peered.rt.database.reading() as connection:
        count = await connection.execute(text("SELECT count(*) FROM deliveries"))
    assert count.scalar_one() == 1


async def test_an_owner_that_is_away_is_named_and_a_stranger_refused(
    notify: Any, mint: Mint, tmp_path: Path
) -> None:
    """Nothing is known about its facts; an agent may not start a comparison."""
    rt = notify.service.rt
    report = await reconcile(owners(rt), ReconcileRequest(repair=True), pause=0.0)
    assert list(report.unreachable) == ["intake", "routing"]
    assert report.checked == 0
    server = GrpcServer(
        notify.service.edges.servicers,
        host="127.0.0.1",
        port=0,
        verifier=rt.verifier,
        health=Health(),
    )
    await server.start()
    token = tmp_path / "token"
    token.write_text(mint.token("agent"))
    targets = dict.fromkeys(SERVICES, services.AWAY) | {"notify": f"127.0.0.1:{server.port}"}
    peers = Peers(targets, token_file=token)
    try:
        with pytest.raises(Forbidden):
            await peers.notify.ask(peers.notify.stub.Reconcile, ReconcileRequest(), timeout=5)
    finally:
        await peers.stop()
        await server.stop()
