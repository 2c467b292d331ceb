"""The span and the metrics of each request, as the OpenTelemetry conventions for HTTP name them.

Around everything else, as plain ASGI: the framework's own telemetry takes four times the time.
"""

import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from opentelemetry import context as active
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waybill_chassis import metrics
from waybill_chassis.events import TraceContext
from waybill_chassis.telemetry.discretion import discreet_path, discreet_query
from waybill_chassis.telemetry.spans import Attributes, start_light

UNSEEN = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: not worth a span."""

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
_PORTS = {"http": 80, "https": 443}

_ACTIVE: Counter[tuple[str, str]] = Counter()


def _active(_: CallbackOptions) -> Iterable[Observation]:
    for (scheme, method), count in list(_ACTIVE.items()):
        yield Observation(count, {"url.scheme": scheme, "http.request.method": method})


metrics.http_active_requests(_active)


class Observed:
    """ASGI middleware that tells of each request, under the trace that it came with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and tell how it went."""
        if scope["type"] != "http" or scope["path"] in UNSEEN:
            await self._app(scope, receive, send)
            return
        original = scope["method"]
        method = original if original in _METHODS else "_OTHER"
        name = "HTTP" if method == "_OTHER" else method
        scheme = scope.get("scheme", "http")
        common = _common(scheme, method, scope["http_version"])
        parent, attributes = _began(scope)
        attributes |= common
        if original != method:
            attributes["http.request.method_original"] = original
        span = start_light(name, kind=SpanKind.SERVER, parent=parent, attributes=attributes)
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        counted = (scheme, method)
        _ACTIVE[counted] += 1
        within, began = span.activate(), time.perf_counter()
        token = None if within is None else active.attach(within)
        error: BaseException | None = None
        try:
            await self._app(scope, receive, sending)
        except BaseException as raised:
            error = raised
            raise
        finally:
            route = getattr(scope.get("route"), "path_format", "")
            more = _ended(route, status, type(error).__qualname__ if error else "")
            # While the span is active: exemplars lead to it.
            metrics.http_seconds.record(time.perf_counter() - began, {**common, **more})
            _ACTIVE[counted] -= 1
            if token is not None:
                active.detach(token)
            span.end(
                more=more, name=f"{name} {route}" if route else "", failed="error.type" in more
            )


@lru_cache(maxsize=256)
def _common(scheme: str, method: str, version: str) -> Attributes:
    """What metrics and spans have in common. Not to be changed."""
    return {
        "url.scheme": scheme,
        "http.request.method": method,
        "network.protocol.version": version,
    }


@lru_cache(maxsize=4096)
def _ended(route: str, status: int, error: str) -> Attributes:
    """What is known at the end. Not to be changed."""
    found: dict[str, str | bool | int | float] = {}
    if route:
        found["http.route"] = route
    if status:
        found["http.response.status_code"] = status
    if error or status >= 500 or not status:
        found["error.type"] = error or str(status or "incomplete_response")
    return found


def _began(scope: Scope) -> tuple[TraceContext | None, dict[str, str | bool | int | float]]:
    """Where the request comes from, and what the span alone says of it."""
    host = parent = state = None
    for header, value in scope["headers"]:
        match header:
            case b"host":
                host = value.decode("latin-1")
            case b"traceparent":
                parent = value.decode("latin-1")
            case b"tracestate":
                state = ",".join(filter(None, (state, value.decode("latin-1"))))
    found = _server(host, scope.get("scheme", "http")) if host else {}
    found = {**found, "url.path": _shown(scope["path"])}
    if query := scope["query_string"]:
        found["url.query"] = discreet_query(query.decode("latin-1"))
    return TraceContext(parent, state) if parent else None, found


_shown = lru_cache(maxsize=1024)(discreet_path)


@lru_cache(maxsize=256)
def _server(authority: str, scheme: str) -> dict[str, str | bool | int | float]:
    """The address that was asked for. Not to be changed."""
    try:
        url = urlsplit("//" + authority)
        address, port = url.hostname, url.port
    except ValueError:
        return {}
    if address is None or url.username is not None or url.path or url.query or url.fragment:
        return {}
    port = port or _PORTS.get(scheme)
    return {"server.address": address} | ({"server.port": port} if port else {})
