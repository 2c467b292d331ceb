"""What callers and peers can rely on over gRPC."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from waybill.sla.v1.service_pb2 import (
    GetClockRequest,
    GetClockResponse,
    ReconcileRequest,
    ReconcileResponse,
    StreamClocksRequest,
    StreamClocksResponse,
)
from waybill.sla.v1.service_pb2_grpc import (
    ClockServiceServicer,
    ClockServiceStub,
    add_ClockServiceServicer_to_server,
)
from waybill_chassis import problems
from waybill_chassis.health import Health
from waybill_chassis.rpc import GrpcServer, Peer, Servicer, authorize, caller
from waybill_chassis.rpc import circuit as circuit_module
from waybill_chassis.testing.tokens import Mint

NAME = "waybill.sla.v1.ClockService"
Serve = Callable[..., Awaitable[GrpcServer]]


class Clocks(ClockServiceServicer):
    """Does what the ticket id asks for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.metadata: dict[str, Any] = {}
        self.peer: Any = None

    async def GetClock(self, request: GetClockRequest, context: Any) -> GetClockResponse:  # noqa: N802
        authorize("service", "agent")
        self.asked.append(caller().subject)
        self.metadata = dict(context.invocation_metadata())
        match request.ticket_id:
            case "unknown":
                raise problems.NotFound("There is no clock.", ticket="unknown")
            case "wrong":
                raise problems.invalid_field("ticket_id", "must be a UUID (schön)")
            case "at second try" if len(self.asked) == 1:
                raise problems.Unavailable("Not just now.")
            case "secret":
                authorize("service", product="demo")
            case "bug":
                raise RuntimeError("password=hunter2")
            case "refused":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "not that far")
            case "slow":
                self.begun.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "soon":
                self.begun.set()
                await asyncio.sleep(0.2)
            case "on":
                await self.peer.ask(
                    self.peer.stub.GetClock, GetClockRequest(ticket_id="slow"), timeout=60
                )
        return GetClockResponse(sequence=7)

    async def StreamClocks(  # noqa: N802
        self, request: StreamClocksRequest, context: Any
    ) -> AsyncIterator[StreamClocksResponse]:
        authorize("service")
        try:
            for number in range(3):
                yield StreamClocksResponse(sequence=number)
            if request.after_cursor == "wrong":
                raise problems.invalid_field("after_cursor", "is none of ours")
            if request.after_cursor == "endless":
                self.begun.set()
                await asyncio.sleep(60)
        finally:
            self.cancelled.set()

    async def Reconcile(self, request: ReconcileRequest, context: Any) -> ReconcileResponse:  # noqa: N802
        self.asked.append("reconcile")
        raise problems.Unavailable("not now")


@pytest.fixture
async def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def serve(clocks: Clocks, health: Health, mint: Mint) -> AsyncIterator[Serve]:
    """Starts servers, on a free port unless one is given."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(port: int = 0, grace: float = 5) -> GrpcServer:
            server = GrpcServer(
                [Servicer(add_ClockServiceServicer_to_server, clocks, NAME)],
                host="127.0.0.1",
                port=port,
                verifier=mint.verifier(),
                health=health,
                grace=grace,
            )
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield start


@pytest.fixture
async def peer_at(
    mint: Mint, tmp_path: Path
) -> AsyncIterator[Callable[..., Peer[ClockServiceStub]]]:
    """Makes peers with a service's token."""
    token = tmp_path / "token"
    token.write_text(mint.token("service", sub="intake") + "\n")
    async with contextlib.AsyncExitStack() as stack:

        def make(*ports: int, file: Path | None = token) -> Peer[ClockServiceStub]:
            target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
            peer = Peer("sla", target, ClockServiceStub, token_file=file)
            stack.push_async_callback(peer.close)
            return peer

        yield make


async def ask(peer: Peer[ClockServiceStub], ticket: str = "", seconds: float = 10) -> int:
    answer = await peer.ask(peer.stub.GetClock, GetClockRequest(ticket_id=ticket), timeout=seconds)
    return answer.sequence


async def test_a_peer_hears_the_answer_and_every_refusal_as_the_problem_it_was(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]], clocks: Clocks, health: Health
) -> None:
    """With its detail, fields and extra members; what is the peer's own fault is Unavailable."""
    peer = peer_at((await serve()).port)
    assert await ask(peer) == 7
    assert clocks.asked == ["intake"]
    with pytest.raises(problems.NotFound, match="There is no clock") as unknown:
        await ask(peer, "unknown")
    assert unknown.value.document()["ticket"] == "unknown"
    with pytest.raises(problems.Invalid) as wrong:
        await ask(peer, "wrong")
    assert wrong.value.errors == [{"field": "ticket_id", "message": "must be a UUID (schön)"}]
    with pytest.raises(problems.Invalid, match="not that far"):
        await ask(peer, "refused")
    with pytest.raises(problems.Unavailable) as bug:
        await ask(peer, "bug")
    assert "hunter2" not in bug.value.detail


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ((), grpc.StatusCode.UNAUTHENTICATED),
        ((("authorization", "Bearer nonsense"),), grpc.StatusCode.UNAUTHENTICATED),
        ("submitter", grpc.StatusCode.PERMISSION_DENIED),
        ("agent", grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_a_caller_without_a_token_or_the_role_is_refused(
    serve: Serve, mint: Mint, metadata: Any, code: grpc.StatusCode
) -> None:
    """As the same check refuses at the HTTP edge."""
    server = await serve()
    if isinstance(metadata, str):
        token = mint.token(metadata, products=("other",))
        metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ClockServiceStub(channel).GetClock(
                GetClockRequest(ticket_id="secret"), metadata=metadata, timeout=10
            )
    assert refused.value.code() is code


async def test_a_refusal_can_be_read_by_any_client(serve: Serve, mint: Mint) -> None:
    """google.rpc.Status names the fields, and the problem document is there as JSON."""
    server = await serve()
    metadata = (("authorization", f"Bearer {mint.token('service')}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ClockServiceStub(channel).GetClock(
                GetClockRequest(ticket_id="wrong"), metadata=metadata, timeout=10
            )
    error = refused.value
    status = rpc_status.from_call(_Ended(error))
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == ["ticket_id"]
    document = json.loads(dict(error.trailing_metadata() or ())["waybill-problem-bin"])
    assert document["type"] == "urn:waybill:problem:invalid"


class _Ended:
    """An error as the library for details wants to see it."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details = error.code, error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata() or ())


async def test_a_stream_gives_what_there_is_and_then_the_problem(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]]
) -> None:
    """Nothing that came before the refusal is lost."""
    peer = peer_at((await serve()).port)
    items = peer.stream(
        peer.stub.StreamClocks, StreamClocksRequest(after_cursor="wrong"), timeout=10
    )
    assert [(await anext(items)).sequence for _ in range(3)] == [0, 1, 2]
    with pytest.raises(problems.Invalid, match="none of ours"):
        await anext(items)


async def test_a_stream_that_nobody_reads_any_more_ends_at_the_other_side(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]], clocks: Clocks
) -> None:
    """The peer need not go on for somebody who has left."""
    peer = peer_at((await serve()).port)
    request = StreamClocksRequest(after_cursor="endless")
    async with contextlib.aclosing(
        peer.stream(peer.stub.StreamClocks, request, timeout=60)
    ) as items:
        async for _ in items:
            break
    async with asyncio.timeout(10):
        await clocks.cancelled.wait()


async def test_a_deadline_ends_the_call_on_both_sides_and_down_the_line(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]], clocks: Clocks
) -> None:
    """Whoever asks on for a caller waits no longer than that caller does."""
    peer = peer_at((await serve()).port)
    clocks.peer = peer
    with pytest.raises(problems.Unavailable):
        await ask(peer, "on", seconds=0.5)
    async with asyncio.timeout(10):
        await clocks.cancelled.wait()


async def test_a_peer_that_is_away_is_unavailable_at_once_and_asked_again_when_it_is_back(
    serve: Serve,
    peer_at: Callable[..., Peer[ClockServiceStub]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After some calls in vain nothing is sent at all, until one try succeeds."""
    monkeypatch.setattr(circuit_module, "OPEN_SECONDS", 3600.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    peer = peer_at(port)
    for _ in range(circuit_module.FAILURES):
        with pytest.raises(problems.Unavailable):
            await ask(peer)
    await serve(port=port)
    with pytest.raises(problems.Unavailable):  # the circuit is open: nobody looks
        await ask(peer)
    monkeypatch.setattr(circuit_module, "OPEN_SECONDS", 0.05)
    peer._circuit._open_until = 0.0
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(problems.Unavailable):
                assert await ask(peer) == 7
                break
            await asyncio.sleep(0.05)


async def test_a_peer_that_takes_no_connections_costs_no_more_than_the_timeout(
    peer_at: Callable[..., Peer[ClockServiceStub]],
) -> None:
    """It listens and never speaks, as a frozen process does."""
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        peer = peer_at(frozen.getsockname()[1])
        async with asyncio.timeout(20):
            with pytest.raises(problems.Unavailable):
                await ask(peer, seconds=0.3)


async def test_a_question_is_asked_again_and_a_repair_is_not(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]], clocks: Clocks
) -> None:
    """Only what changes nothing may be repeated."""
    peer = peer_at((await serve()).port)
    assert await ask(peer, "at second try") == 7
    assert clocks.asked == ["intake", "intake"]
    with pytest.raises(problems.Unavailable):
        await peer.ask(peer.stub.Reconcile, ReconcileRequest(), timeout=10)
    assert clocks.asked[2:] == ["reconcile"]


async def test_the_other_replicas_answer_when_one_is_away(
    serve: Serve, peer_at: Callable[..., Peer[ClockServiceStub]]
) -> None:
    """Calls go round; one that meets nobody is sent to the next."""
    one, two = await serve(), await serve(grace=0.2)
    peer = peer_at(one.port, two.port)
    for _ in range(10):
        assert await ask(peer) == 7
    await two.stop()
    for _ in range(10):
        assert await ask(peer) == 7


async def test_a_new_token_is_taken_from_its_file(
    serve: Serve,
    peer_at: Callable[..., Peer[ClockServiceStub]],
    clocks: Clocks,
    mint: Mint,
    tmp_path: Path,
) -> None:
    """A service is not restarted because its token has run out."""
    file = tmp_path / "fresh"
    peer = peer_at((await serve()).port, file=file)
    with pytest.raises(problems.Unavailable):
        await ask(peer)
    file.write_text(mint.token("service", sub="routing"))
    assert await ask(peer) == 7
    file.write_text(mint.token("service", sub="notify"))
    assert await ask(peer) == 7
    assert clocks.asked == ["routing", "notify"]


async def test_a_stop_answers_what_is_under_way_and_says_so_to_the_platform(
    serve: Serve,
    peer_at: Callable[..., Peer[ClockServiceStub]],
    clocks: Clocks,
    health: Health,
) -> None:
    """Not serving from the moment the stop begins; the call that had begun is answered."""
    server = await serve()
    peer = peer_at(server.port)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
        under_way = asyncio.create_task(ask(peer, "soon"))
        await clocks.begun.wait()
        health.stop()
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.Check(health_pb2.HealthCheckRequest(service="other.Service"), timeout=10)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        await server.stop()
    assert await under_way == 7
