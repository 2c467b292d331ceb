"""Bad gRPC calls to every method of every service: a status that says whose fault it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pool import Default
from waybill_chassis.rpc import GrpcServer

SERVICES = ("intake", "routing", "sla", "notify", "kb")
FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # Whoever could be away is given as away in the answer: the methods have words for that.
    grpc.StatusCode.UNAVAILABLE,
}
RECONCILERS = ("admin", "service")
READERS = ("admin", "service", "lead", "agent")
ROLES = ("admin", "service", "lead", "agent", "submitter")
MAY = {
    "GetTicket": READERS,
    "StreamTickets": RECONCILERS,
    "GetAssignment": READERS,
    "StreamAssignments": RECONCILERS,
    "GetClock": READERS,
    "GetRemaining": READERS,
    "StreamClocks": READERS,
    "ListDeliveries": READERS,
    "Suggest": READERS,
    "RenderQuickReply": READERS,
    "FindSimilar": READERS,
    "Reconcile": RECONCILERS,
}
"""Who may call what."""


class Caller:
    """Calls any method with any bytes."""

    def __init__(self, there: Any, channel: grpc.aio.Channel) -> None:
        self._there = there
        self._channel = channel
        (servicer,) = there.service.edges.servicers
        self.methods = Default().FindServiceByName(servicer.full_name).methods

    async def __call__(self, method: Any, request: Any, token: str | None) -> grpc.StatusCode:
        kind: Any = method.output_type._concrete_class
        path = f"/{method.containing_service.full_name}/{method.name}"
        metadata = () if token is None else (("authorization", token),)
        how = {"timeout": 20.0, "metadata": metadata}
        shape = {
            "request_serializer": lambda sent: sent if isinstance(sent, bytes) else _bytes(sent),
            "response_deserializer": kind.FromString,
        }
        try:
            if method.server_streaming:
                stream = self._channel.unary_stream(path, **shape)(request, **how)
                async for _ in stream:
                    pass
            else:
                await self._channel.unary_unary(path, **shape)(request, **how)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def _bytes(message: Any) -> bytes:
    found: bytes = message.SerializeToString()
    return found


@asynccontextmanager
async def calling(there: Any) -> AsyncIterator[Caller]:
    rt = there.service.rt
    server = GrpcServer(
        there.service.edges.servicers,
        host="127.0.0.1",
        port=0,
        verifier=rt.verifier,
        health=rt.health,
        translate=there.service.edges.translate,
        grace=0.1,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Caller(there, channel)
    finally:
        await server.stop()


@pytest.mark.parametrize("name", SERVICES)
async def test_no_call_breaks_a_method(name: str, scene: Any, messages: Any) -> None:
    """Whatever is asked, the answer is no accident, and what is refused leaves no trace."""
    faults = []
    async with scene(name) as there, calling(there) as call:
        token = f"Bearer {there.service.mint.token('admin', sub='ana@example.com')}"
        seconds = int(there.service.clock.now().timestamp())
        before = await there.kept()
        for method in call.methods:
            kind: Any = method.input_type._concrete_class
            good = messages.whole(kind, seconds)
            many = kind()
            if "ticket_ids" in method.input_type.fields_by_name:
                many.ticket_ids.extend(["x"] * 2000)
            assert await call(method, b"\xff\xff", token) is grpc.StatusCode.INVALID_ARGUMENT
            for request in (kind(), good, many, *messages.wild(good, set())):
                code = await call(method, request, token)
                if code in FAULTS:
                    faults.append(f"{method.name} {code}: {str(request)[:300]}")
        assert not faults, "\n".join(faults[:30])
        assert await there.kept() == before


@pytest.mark.parametrize("name", SERVICES)
async def test_nobody_calls_what_is_not_for_them(name: str, scene: Any) -> None:
    """By role; without a token, or with one that does not hold, nobody calls anything."""
    async with scene(name) as there, calling(there) as call:
        mint = there.service.mint
        found = {}
        for method in call.methods:
            request = method.input_type._concrete_class()
            for role in ROLES:
                found[method.name, role] = await call(method, request, f"Bearer {mint.token(role)}")
            bad = {"a.b.c", mint.token("admin", seconds=-600), mint.token("admin") + "x"}
            for token in (None, "Basic YTpi", *(f"Bearer {one}" for one in bad)):
                assert await call(method, request, token) is grpc.StatusCode.UNAUTHENTICATED
        refused = {at for at, code in found.items() if code is grpc.StatusCode.PERMISSION_DENIED}
        names = [method.name for method in call.methods]
        assert refused == {(one, role) for one in names for role in ROLES if role not in MAY[one]}


@pytest.mark.parametrize(
    ("name", "method", "named"),
    [
        ("intake", "GetTicket", "id_or_number"),
        ("routing", "GetAssignment", "ticket_id"),
        ("sla", "GetClock", "ticket_id"),
        ("kb", "FindSimilar", "ticket_id"),
    ],
)
async def test_a_ticket_of_another_product_is_not_there(
    name: str, method: str, named: str, scene: Any
) -> None:
    """As if there were none: an agent of the ticket's product sees it, one of another does not."""
    async with scene(name) as there, calling(there) as call:
        (found,) = [one for one in call.methods if one.name == method]
        request = found.input_type._concrete_class(**{named: there.ids["ticket"]})
        for role in ("agent", "service"):
            for products, code in (("demo",), "OK"), (("shop",), "NOT_FOUND"), ((), "NOT_FOUND"):
                token = there.service.mint.token(role, products=products)
                assert (await call(found, request, f"Bearer {token}")).name == code
