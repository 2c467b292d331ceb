"""grpc.aio as a part of the process: tokens checked, problems as statuses, health, reflection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from waybill_chassis.auth import TokenVerifier
from waybill_chassis.health import Health, Phase
from waybill_chassis.problems import Translate
from waybill_chassis.process import StartFailed
from waybill_chassis.rpc.calls import authorize, caller
from waybill_chassis.rpc.interceptor import Answering

__all__ = ["GrpcServer", "Servicer", "authorize", "caller"]

MAX_MESSAGE_BYTES = 8 * 1024 * 1024

_HEALTH = "grpc.health.v1.Health"
_WATCH_SECONDS = 0.5
_LEAST_GRACE = 0.1

_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Otherwise two processes share one port, and each gets a part of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # Clients look their peers up again now and then, and so find new replicas.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service: `Servicer(add_XServicer_to_server, X(...), "waybill.x.v1.X")`."""

    add: Callable[[Any, grpc.aio.Server], None]
    implementation: Any
    full_name: str


class GrpcServer:
    """Serves on one address. Its methods raise problems (`waybill_chassis.problems`)."""

    name = "grpc"

    def __init__(
        self,
        servicers: Sequence[Servicer],
        *,
        host: str,
        port: int,
        verifier: TokenVerifier,
        health: Health,
        translate: Translate | None = None,
        grace: float = 10.0,
        variable: str = "WAYBILL_GRPC_PORT",
    ) -> None:
        """Port 0 takes a free one; `port` tells which after `start`.

        Calls under way may take `grace` seconds at a stop; `variable` is named when the port is
        taken.
        """
        self.host = host
        self.port = port
        self._servicers = servicers
        self._verifier = verifier
        self._health = health
        self._translate = translate or {}
        self._grace = grace
        self._variable = variable
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Return when it listens; `StartFailed` when it cannot."""
        server = grpc.aio.server(
            interceptors=[Answering(self._verifier, self._translate)], options=_OPTIONS
        )
        names = [servicer.full_name for servicer in self._servicers]
        for servicer in self._servicers:
            servicer.add(servicer.implementation, server)
        health_pb2_grpc.add_HealthServicer_to_server(_HealthServicer(self._health, names), server)
        reflection.enable_server_reflection([*names, _HEALTH, reflection.SERVICE_NAME], server)
        try:
            await self._try_address()
            self.port = server.add_insecure_port(f"{self.host}:{self.port}")
        except (OSError, RuntimeError) as error:
            raise StartFailed(
                f"{self.name}: cannot listen on {self.host}:{self.port}: "
                f"{getattr(error, 'strerror', None) or error}"
                f"; stop what is there, or set {self._variable}"
            ) from None
        await server.start()
        self._server = server

    async def _try_address(self) -> None:
        """Raise OSError if the address cannot be had: the library would not say why."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self.host.strip("[]"), self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)

    async def stop(self) -> None:
        """Answer what is under way, return."""
        if self._server is not None:
            await self._server.stop(max(self._grace, _LEAST_GRACE))

    async def wait(self) -> None:
        """Return when it serves no more."""
        if self._server is not None:
            await self._server.wait_for_termination()


class _HealthServicer(health_pb2_grpc.HealthServicer):
    """The standard health service: serving once all has started and until the stop begins."""

    def __init__(self, health: Health, names: Sequence[str]) -> None:
        self._health = health
        self._names = {"", _HEALTH, *names}

    def _status(self, service: str) -> Any:
        if service not in self._names:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        if self._health.phase is Phase.SERVING:
            return health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse.NOT_SERVING

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """How it is now."""
        status = self._status(request.service)
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the contract's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: Any,  # noqa: ARG002 - fixed by the interface
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """How it is now, and again after each change, until the process stops."""
        told = None
        while True:
            stopping = self._health.stopping.is_set()
            status = self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            if stopping:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._health.stopping.wait(), _WATCH_SECONDS)
