"""The other services, asked over gRPC with a deadline."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from opentelemetry.trace import SpanKind
from waybill.intake.v1.service_pb2_grpc import TicketServiceStub
from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceStub
from waybill.notify.v1.service_pb2_grpc import DeliveryServiceStub
from waybill.routing.v1.service_pb2_grpc import AssignmentServiceStub
from waybill.sla.v1.service_pb2_grpc import ClockServiceStub

from waybill_chassis import metrics
from waybill_chassis.problems import Problem, Unavailable
from waybill_chassis.rpc import statuses
from waybill_chassis.rpc.calls import patience
from waybill_chassis.rpc.circuit import Circuit
from waybill_chassis.telemetry import current_trace
from waybill_chassis.telemetry.spans import LightSpan, start_light

if TYPE_CHECKING:
    from waybill.intake.v1.service_pb2_grpc import TicketServiceAsyncStub
    from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceAsyncStub
    from waybill.notify.v1.service_pb2_grpc import DeliveryServiceAsyncStub
    from waybill.routing.v1.service_pb2_grpc import AssignmentServiceAsyncStub
    from waybill.sla.v1.service_pb2_grpc import ClockServiceAsyncStub

log = structlog.get_logger(__name__)

S = TypeVar("S")
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

# All methods are questions, which may be asked twice; Reconcile alone does something.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": "waybill.intake.v1.TicketService", "method": "Reconcile"},
                {"service": "waybill.routing.v1.AssignmentService", "method": "Reconcile"},
                {"service": "waybill.sla.v1.ClockService", "method": "Reconcile"},
                {"service": "waybill.notify.v1.DeliveryService", "method": "Reconcile"},
                {"service": "waybill.kb.v1.KnowledgeService", "method": "Reconcile"},
            ]
        },
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ],
}

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Inside a cluster nothing stands between us and our peers.
    ("grpc.enable_http_proxy", 0),
)


@lru_cache(maxsize=256)
def _method_of(request: Descriptor) -> str:
    """`package.Service/Method`: every request message belongs to one method."""
    for service in request.file.services_by_name.values():
        for method in service.methods:
            if method.input_type is request:
                return f"{service.full_name}/{method.name}"
    return request.full_name


class _Token:
    """The service's own token, read anew when its file changes."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen = (0, 0)
        self._metadata: tuple[tuple[str, str], ...] = ()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        if self._file is None:
            return ()
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
            if seen != self._seen:
                token = self._file.read_text().strip()
                self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
                self._seen = seen
        except OSError as error:
            log.warning("token_not_read", file=str(self._file), error=str(error))
        return self._metadata


class Peer(Generic[S]):
    """One other service. `await kb.ask(kb.stub.Suggest, SuggestRequest(...), timeout=0.8)`."""

    def __init__(
        self, name: str, target: str, make_stub: Callable[[Any], S], *, token_file: Path | None
    ) -> None:
        """`target` is gRPC's: `host:port` or `ipv4:a:p,b:p`. Connects lazily."""
        self.name = name
        self._target = target
        self._make_stub = make_stub
        self._token = _Token(token_file)
        self._circuit = Circuit(name)
        self._channel: grpc.aio.Channel | None = None
        self._stub: S | None = None

    @property
    def stub(self) -> S:
        """The generated stub, whose methods are given to `ask` and `stream`."""
        if self._stub is None:
            self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
            self._stub = self._make_stub(self._channel)
        return self._stub

    async def ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]",
        request: Q,
        *,
        timeout: float,  # noqa: ASYNC109 - it travels with the call, as its deadline
    ) -> A:
        """The answer, within `timeout` seconds, retries included.

        `Unavailable` when the peer is away, is too slow, fails by its own fault or does not take
        our token; any other refusal as the problem it was (`NotFound`, ...).
        """
        asked = _Asked(self.name, self._circuit, request, timeout)
        try:
            answer = await method(
                request,
                timeout=asked.timeout,
                metadata=asked.metadata(self._token),
            )
        except grpc.aio.AioRpcError as error:
            raise asked.refused(error) from None
        except BaseException:
            asked.end(grpc.StatusCode.CANCELLED)
            raise
        asked.end(grpc.StatusCode.OK)
        return answer

    async def stream(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Q, A]",
        request: Q,
        *,
        timeout: float,  # noqa: ASYNC109 - it travels with the call, as its deadline
    ) -> AsyncIterator[A]:
        """The answers one by one, all within `timeout` seconds; raises as `ask` does."""
        asked = _Asked(self.name, self._circuit, request, timeout)
        call = method(
            request,
            timeout=asked.timeout,
            metadata=asked.metadata(self._token),
        )
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise asked.refused(error) from None
        except BaseException:
            # Whoever reads has had enough: the peer need not go on.
            call.cancel()
            asked.end(grpc.StatusCode.CANCELLED)
            raise
        asked.end(grpc.StatusCode.OK)

    async def close(self) -> None:
        """Close the connections; asked again it opens new ones."""
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            await channel.close()


class _Asked:
    """One question on its way: its span, its time, and what became of it."""

    def __init__(self, peer: str, circuit: Circuit, request: Message, timeout: float) -> None:
        self.timeout = patience(timeout)
        self._hurried = self.timeout < timeout
        self._peer = peer
        self._circuit = circuit
        self._method = _method_of(request.DESCRIPTOR)
        if self.timeout <= 0 or not circuit.admits():
            self._unanswered(grpc.StatusCode.DEADLINE_EXCEEDED if self.timeout <= 0 else None)
            raise Unavailable(f"{peer} does not answer at the moment.", peer=peer)
        self._began = time.perf_counter()
        self._span: LightSpan = start_light(
            self._method,
            kind=SpanKind.CLIENT,
            parent=current_trace(),
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": self._method,
                "server.address": f"waybill-{peer}",
            },
        )

    def metadata(self, token: _Token) -> tuple[tuple[str, str], ...]:
        place = self._span.trace
        pairs = (("traceparent", place.traceparent), ("tracestate", place.tracestate))
        return token.metadata() + tuple((name, value) for name, value in pairs if value)

    def refused(self, error: grpc.aio.AioRpcError) -> Problem:
        code = error.code()
        self.end(code, error)
        problem = statuses.decode(self._peer, error)
        if isinstance(problem, Unavailable):
            self._unanswered(code)
            if code not in statuses.SILENT:
                log.warning(
                    "peer_failed",
                    peer=self._peer,
                    method=self._method,
                    code=code.name,
                    reason=error.details(),
                )
        return problem

    def end(self, code: grpc.StatusCode, error: BaseException | None = None) -> None:
        if code in statuses.SILENT:
            # Who is asked with a moment left has not failed when that moment is over.
            if not (self._hurried and code is grpc.StatusCode.DEADLINE_EXCEEDED):
                self._circuit.silent()
        elif code is not grpc.StatusCode.CANCELLED:
            self._circuit.answered()
        self._span.end(error, {"rpc.response.status_code": code.name})
        metrics.rpc_client_seconds.record(
            time.perf_counter() - self._began,
            {"peer": self._peer, "method": self._method, "code": code.name},
        )

    def _unanswered(self, code: grpc.StatusCode | None) -> None:
        name = "CIRCUIT_OPEN" if code is None else code.name
        metrics.rpc_unanswered.add(1, {"peer": self._peer, "code": name})


class Peers:
    """All five services as a client sees them."""

    name = "peers"

    def __init__(self, targets: Mapping[str, str], *, token_file: Path | None) -> None:
        """`targets` by service name; the token is read anew when its file changes."""
        self.intake: Peer[TicketServiceAsyncStub] = Peer(
            "intake", targets["intake"], TicketServiceStub, token_file=token_file
        )
        self.routing: Peer[AssignmentServiceAsyncStub] = Peer(
            "routing", targets["routing"], AssignmentServiceStub, token_file=token_file
        )
        self.sla: Peer[ClockServiceAsyncStub] = Peer(
            "sla", targets["sla"], ClockServiceStub, token_file=token_file
        )
        self.notify: Peer[DeliveryServiceAsyncStub] = Peer(
            "notify", targets["notify"], DeliveryServiceStub, token_file=token_file
        )
        self.kb: Peer[KnowledgeServiceAsyncStub] = Peer(
            "kb", targets["kb"], KnowledgeServiceStub, token_file=token_file
        )

    async def start(self) -> None:
        """Nothing to start: channels connect when they are used."""

    async def stop(self) -> None:
        """Close the channels."""
        for peer in (self.intake, self.routing, self.sla, self.notify, self.kb):
            await peer.close()
