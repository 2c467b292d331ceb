"""The other services, asked over gRPC with a deadline."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc.aio
from google.protobuf.message import Message
from waybill.intake.v1.service_pb2_grpc import TicketServiceStub
from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceStub
from waybill.notify.v1.service_pb2_grpc import DeliveryServiceStub
from waybill.routing.v1.service_pb2_grpc import AssignmentServiceStub
from waybill.sla.v1.service_pb2_grpc import ClockServiceStub

if TYPE_CHECKING:
    from waybill.intake.v1.service_pb2_grpc import TicketServiceAsyncStub
    from waybill.kb.v1.service_pb2_grpc import KnowledgeServiceAsyncStub
    from waybill.notify.v1.service_pb2_grpc import DeliveryServiceAsyncStub
    from waybill.routing.v1.service_pb2_grpc import AssignmentServiceAsyncStub
    from waybill.sla.v1.service_pb2_grpc import ClockServiceAsyncStub

S = TypeVar("S")
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Peer(Generic[S]):
    """One other service. `await kb.ask(kb.stub.Suggest, SuggestRequest(...), timeout=0.8)`."""

    def __init__(
        self, name: str, target: str, make_stub: Callable[[Any], S], *, token_file: Path | None
    ) -> None:
        """`target` is gRPC's: `host:port` or `ipv4:a:p,b:p`. Connects lazily."""
        self.name = name
        self.stub: S

    async def ask(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q, *, timeout: float
    ) -> A:
        """The answer. `Unavailable` when the peer is away or does not answer within `timeout`
        seconds (retries included); any other refusal as the problem it was (`NotFound`, ...).
        """
        raise NotImplementedError

    def stream(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Q, A]", request: Q, *, timeout: float
    ) -> AsyncIterator[A]:
        """The answers one by one; raises as `ask` does."""
        raise NotImplementedError


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
        raise NotImplementedError
