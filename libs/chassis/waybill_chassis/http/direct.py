"""The short way from a request to its route.

FastAPI reads from a signature what a route takes, documents it and checks what comes. For each
request, however, it searches its routers one in the other, opens three exit stacks and looks at
each dependency anew: half of what a small request costs. Here that is worked out once. Routes that
are not plain, and requests that fit none, go the framework's way.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message as Header
from functools import lru_cache
from inspect import get_annotations, iscoroutinefunction
from json import JSONDecodeError
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.params import Body, Form
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from waybill_chassis.http.handlers import refusal

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class _Need:
    """A function and what it takes."""

    call: Callable[..., Awaitable[Any]]
    name: str | None
    """As what its result is taken by the function that needs it."""
    kept: bool
    """Whether one call is enough for all that need it."""
    needs: tuple["_Need", ...]
    fields: tuple[tuple[str, Sequence[Any]], ...]
    """Parameters by the attribute of the request in which they are."""
    headers: tuple[tuple[str, str], ...]
    """Headers that may be missing and hold any text: the names that they have here and there."""
    requests: tuple[str, ...]
    """The names under which it takes the request itself."""

    async def solve(
        self, request: Request, known: dict[Any, Any], errors: list[Any]
    ) -> dict[str, Any]:
        """The arguments, as far as nothing is wrong with them; `errors` are what is."""
        values: dict[str, Any] = {}
        for need in self.needs:
            found = known.get(need.call, _MISSING) if need.kept else _MISSING
            if found is _MISSING:
                wrong: list[Any] = []
                inner = await need.solve(request, known, wrong)
                if wrong:
                    errors.extend(wrong)
                    continue
                found = known[need.call] = await need.call(**inner)
            if need.name is not None:
                values[need.name] = found
        for place, fields in self.fields:
            read, wrong = request_params_to_args(fields, getattr(request, place))
            values |= read
            errors.extend(wrong)
        for name, header in self.headers:
            values[name] = request.headers.get(header)
        for name in self.requests:
            values[name] = request
        return values


@dataclass(frozen=True, slots=True)
class _Plain:
    """A route that is worked out."""

    route: APIRoute
    convert: dict[str, Any]
    endpoint: _Need
    body: Any = None
    """The field that is the body, if there is one."""

    async def answer(self, request: Request) -> Response:
        """What the route answers. What is wrong is raised as the framework would."""
        received = await _body(request) if self.body is not None else _MISSING
        errors: list[Any] = []
        values = await self.endpoint.solve(request, {}, errors)
        if self.body is not None:
            self._check(received, values, errors)
        if errors:
            raise RequestValidationError(errors, body=received)
        response: Response = await self.endpoint.call(**values)
        return response

    def _check(self, received: Any, values: dict[str, Any], errors: list[Any]) -> None:
        info = self.body.field_info
        if received is not _MISSING:
            values[self.body.name], wrong = self.body.validate(received, {}, loc=("body",))
            errors.extend(wrong)
        elif info.is_required():
            errors.append({"type": "missing", "loc": ("body",), "msg": "Field required"})
        else:
            values[self.body.name] = info.get_default(call_default_factory=True)


class Direct:
    """ASGI middleware, the innermost: answers what fits a plain route."""

    def __init__(self, app: ASGIApp, *, owner: FastAPI) -> None:
        """`owner` has all its routes by now: a stack is made when the first request comes."""
        self._app = app
        self._others: dict[str, list[tuple[Pattern[str], _Plain | None]]] = defaultdict(list)
        self._static: dict[tuple[str, str], tuple[_Plain | None, dict[str, str]]] = {}
        fixed = []
        for methods, path, pattern, plain in _routes(owner):
            for method in methods:
                self._others[method].append((pattern, plain))
                if "{" not in path:
                    fixed.append((method, path))
        # The first that fits counts, and that may be one with parameters.
        self._static = {(method, path): self._search(method, path) for method, path in fixed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        plain = self._find(scope) if scope["type"] == "http" and not scope["root_path"] else None
        if plain is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await plain.answer(request)
        except (HTTPException, RequestValidationError) as error:
            response = refusal(request, error)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> _Plain | None:
        method, path = scope["method"], scope["path"]
        plain, found = self._static.get((method, path)) or self._search(method, path)
        if plain is not None:
            scope["route"], scope["endpoint"] = plain.route, plain.endpoint.call
            scope["path_params"] = {
                name: plain.convert[name].convert(value) for name, value in found.items()
            }
        return plain

    def _search(self, method: str, path: str) -> tuple[_Plain | None, dict[str, str]]:
        for pattern, plain in self._others.get(method, ()):
            if match := pattern.match(path):
                return plain, match.groupdict()
        return None, {}


def _routes(app: FastAPI) -> Iterator[tuple[set[str], str, Pattern[str], _Plain | None]]:
    """All routes in their order: methods, path, pattern and how the short way goes, if it can."""
    for found in iter_route_contexts(app.routes):
        pattern = getattr(found, "path_regex", None)
        if pattern is not None:
            yield found.methods or set(), found.path or "", pattern, _plain(found)


def _plain(found: Any) -> _Plain | None:
    route = found.original_route
    if not isinstance(route, APIRoute):
        return None
    answers = get_annotations(route.endpoint).get("return")
    body = found.body_field
    if (
        not (isinstance(answers, type) and issubclass(answers, Response))
        or found.max_body_size is not None
        or (body is not None and not _is_json(body, found.dependant))
        or (need := _need(found.dependant)) is None
    ):
        return None
    return _Plain(route, found.param_convertors, need, body)


def _is_json(body: Any, dependant: Dependant) -> bool:
    """Whether the whole body is one field, and JSON."""
    info = body.field_info
    alone = len(dependant.body_params) == 1 and body is dependant.body_params[0]
    return alone and isinstance(info, Body) and not isinstance(info, Form)


def _need(dependant: Dependant, depth: int = 0) -> _Need | None:
    """What a dependant needs, None if that is something out of the ordinary."""
    call: Any = dependant.call
    needs = [_need(inner, depth + 1) for inner in dependant.dependencies]
    known = [need for need in needs if need is not None]
    if (
        not (iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__))
        or len(known) < len(needs)
        or dependant.cookie_params
        or dependant.own_oauth_scopes
        or dependant.response_param_name
        or dependant.background_tasks_param_name
        or dependant.websocket_param_name
        or dependant.security_scopes_param_name
        or dependant.concurrency is not None
        or (depth and dependant.body_params)
    ):
        return None
    fields = (
        ("path_params", dependant.path_params),
        ("query_params", dependant.query_params),
        ("headers", [one for one in dependant.header_params if not _is_free(one)]),
    )
    names = (dependant.request_param_name, dependant.http_connection_param_name)
    return _Need(
        call,
        dependant.name,
        dependant.use_cache,
        tuple(known),
        tuple((place, params) for place, params in fields if params),
        tuple((one.name, one.alias) for one in dependant.header_params if _is_free(one)),
        tuple(name for name in names if name),
    )


def _is_free(header: Any) -> bool:
    """Whether a header may be missing and hold any text."""
    info = header.field_info
    free = info.annotation == (str | None) and info.default is None and not info.metadata
    return bool(free and info.alias)


async def _body(request: Request) -> Any:
    """A JSON body; the bytes of any other; what is missing where there is none."""
    try:
        body = await request.body()
        if not body or not _says_json(request.headers.get("content-type", "")):
            return body or _MISSING
        return await request.json()
    except JSONDecodeError as error:
        finding = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError([finding], body=error.doc) from error
    except (HTTPException, ClientDisconnect):
        raise
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error


@lru_cache(maxsize=64)
def _says_json(content_type: str) -> bool:
    header = Header()
    header["content-type"] = content_type
    kind = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (
        kind == "json" or kind.endswith("+json")
    )
