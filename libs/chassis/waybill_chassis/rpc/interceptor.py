"""Around every call: a span, the caller's token, the time it took, and refusals as statuses."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from opentelemetry.trace import SpanKind, Status, StatusCode

from waybill_chassis import auth, metrics
from waybill_chassis.auth import Principal, TokenVerifier
from waybill_chassis.events import TraceContext
from waybill_chassis.failures import problem_of
from waybill_chassis.problems import Malformed, Problem, Translate
from waybill_chassis.rpc import statuses
from waybill_chassis.rpc.calls import Call, current
from waybill_chassis.telemetry import span

OPEN = ("/grpc.health.", "/grpc.reflection.")
"""Asked by platforms and tools: no token, no span."""

_CODES: dict[Any, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_FAILED = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:  # generic only to the type checker
    Context, Handler = grpc.aio.ServicerContext, grpc.RpcMethodHandler

Behaviour = Callable[[Any, Context], Any]


class Answering(grpc.aio.ServerInterceptor):
    """Wraps the methods of our own services."""

    def __init__(self, verifier: TokenVerifier, translate: Translate) -> None:
        """`translate` says which problem an error of the domain is."""
        self._verifier = verifier
        self._translate = translate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The method's handler, wrapped; None where there is no such method."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN):
            return handler  # type: ignore[no-any-return]
        kinds = {
            "request_deserializer": _reading(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        name = method.removeprefix("/")
        if handler.unary_unary:
            answer = self._unary(name, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(answer, **kinds)
        if handler.unary_stream:
            stream = self._stream(name, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, **kinds)
        # None of our contracts lets requests stream: answered as a method that is not there.
        return None

    def _unary(self, name: str, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Any, context: Context) -> Any:
            return await self._answer(name, context, lambda: behaviour(_readable(request), context))

        return answer

    def _stream(self, name: str, behaviour: Behaviour) -> Behaviour:
        async def answer(request: Any, context: Context) -> None:
            async def send_all() -> None:
                async with aclosing(behaviour(_readable(request), context)) as items:
                    async for item in items:
                        await context.write(item)

            await self._answer(name, context, send_all)

        return answer

    async def _answer(self, name: str, context: Context, work: Callable[[], Awaitable[Any]]) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        with _observed(name, metadata) as outcome:
            try:
                left = context.time_remaining()
                deadline = None if left is None else asyncio.get_running_loop().time() + left
                current.set(Call(await self._caller(metadata), deadline))
                return await work()
            except grpc.aio.AbortError:
                outcome.code = _CODES.get(context.code(), grpc.StatusCode.UNKNOWN)
                raise
            except Exception as error:  # noqa: BLE001 - whatever failed becomes a status
                problem = problem_of(error, self._translate)
                outcome.refuse(problem)
        code, detail, trailers = statuses.encode(problem)
        return await context.abort(code, detail, trailers)

    async def _caller(self, metadata: dict[str, Any]) -> Principal:
        token = auth.bearer_token(metadata.get("authorization"))
        if token is None:
            raise auth.missing()
        return await self._verifier.verify(token)


def _reading(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Read a request, or give the refusal of one that cannot be: gRPC calls that INTERNAL."""

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Malformed("The request is not the message that this method takes.")

    return read


def _readable(request: Any) -> Any:
    if isinstance(request, Malformed):
        raise request
    return request


class _Outcome:
    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK
        self.detail = ""

    def refuse(self, problem: Problem) -> None:
        self.code = grpc.StatusCode[problem.code]
        self.detail = problem.detail


@contextmanager
def _observed(name: str, metadata: dict[str, Any]) -> Iterator[_Outcome]:
    outcome = _Outcome()
    began = time.perf_counter()
    with span(
        name,
        kind=SpanKind.SERVER,
        parent=TraceContext(metadata.get("traceparent"), metadata.get("tracestate")),
        attributes={"rpc.system.name": "grpc", "rpc.method": name},
    ) as active:
        try:
            yield outcome
        except asyncio.CancelledError:
            outcome.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            code = outcome.code
            active.set_attribute("rpc.response.status_code", code.name)
            if code is not grpc.StatusCode.OK:
                active.set_attribute("error.type", code.name)
            if code in _FAILED:
                active.set_status(Status(StatusCode.ERROR, outcome.detail))
            metrics.rpc_server_seconds.record(
                time.perf_counter() - began, {"method": name, "code": code.name}
            )
