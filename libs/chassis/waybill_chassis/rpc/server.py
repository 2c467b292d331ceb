"""grpc.aio as a part of the process: tokens checked, problems as statuses, health, reflection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio

from waybill_chassis.auth import Principal, TokenVerifier
from waybill_chassis.health import Health
from waybill_chassis.problems import Translate


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service: `Servicer(add_ClockServiceServicer_to_server, Clocks(...), "waybill...")`."""

    add: Callable[[Any, grpc.aio.Server], None]
    implementation: Any
    full_name: str


def caller() -> Principal:
    """Who asks, within a call."""
    raise NotImplementedError


def authorize(*roles: str, product: str | None = None) -> Principal:
    """The caller, who must hold one of `roles` and see `product`; else PERMISSION_DENIED."""
    raise NotImplementedError


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
        """Port 0 takes a free one; `port` tells which after `start`."""
        self.port = port

    async def start(self) -> None:
        """Return when it listens; `StartFailed` when it cannot."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Answer what is under way, return."""
        raise NotImplementedError
