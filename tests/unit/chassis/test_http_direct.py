"""Plain routes go a way of their own, and answer as the framework would."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response
from waybill_chassis.health import Health
from waybill_chassis.http import (
    Caller,
    ExpectedVersion,
    MaybeCaller,
    RequestModel,
    RunOnce,
    create_app,
    require,
    respond,
)
from waybill_chassis.http.direct import Direct
from waybill_chassis.testing.tokens import Mint


class Thing(RequestModel):
    title: str
    count: int = 1


class Asked(RequestModel):
    word: tuple[str, ...] = ()
    most: Annotated[int, Query(le=10)] = 5


def routes(*, plain: bool) -> APIRouter:
    """The same routes, with or without saying that they make their answers themselves."""
    inner = APIRouter(tags=["things"])

    async def create(body: Thing, request: Request, caller: Caller, _: RunOnce) -> Response:
        template = request.scope["route"].path
        return respond({"body": body, "by": caller.subject, "at": template}, status=201)

    async def change(
        number: int, body: Thing | None = None, seen: ExpectedVersion = None
    ) -> Response:
        return respond({"number": number, "body": body, "seen": seen})

    async def find(asked: Annotated[Asked, Query()], caller: MaybeCaller) -> Response:
        return respond({"asked": asked, "by": caller and caller.subject})

    async def first(name: str) -> Response:
        return respond({"name": name})

    async def second() -> Response:
        return respond({"second": True})

    async def gone(number: int) -> Response:
        raise LookupError(number)

    for endpoint in (create, change, find, first, second, gone):
        if not plain:
            del endpoint.__annotations__["return"]
    inner.post("/v1/things", status_code=201, response_model=Thing)(create)
    inner.put("/v1/things/{number}", response_model=None)(change)
    inner.get("/v1/things", response_model=None)(find)
    inner.get("/v1/names/{name}", response_model=None)(first)
    inner.get("/v1/names/second", response_model=None)(second)
    inner.delete("/v1/things/{number}", dependencies=[require("admin")], response_model=None)(gone)
    outer = APIRouter()
    outer.include_router(inner)
    return outer


@pytest.fixture
def mint(tmp_path: Path) -> Mint:
    return Mint(tmp_path)


def app_of(mint: Mint, *, plain: bool) -> Any:
    return create_app(
        title="Things",
        routers=[routes(plain=plain)],
        verifier=mint.verifier(),
        health=Health(),
    )


@pytest.fixture
async def both(mint: Mint) -> AsyncIterator[list[httpx.AsyncClient]]:
    """The same API: the short way and the framework's."""
    clients = [
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app_of(mint, plain=plain)), base_url="http://here"
        )
        for plain in (True, False)
    ]
    yield clients
    for client in clients:
        await client.aclose()


JSON = {"Content-Type": "application/json"}
AGENT, ADMIN, NOBODY = "agent", "admin", ""


@pytest.mark.parametrize(
    ("method", "path", "role", "extra"),
    [
        ("POST", "/v1/things", AGENT, {"json": {"title": "a", "count": 2}}),
        ("POST", "/v1/things", AGENT, {"json": {"title": 5, "colour": "red"}}),
        ("POST", "/v1/things", AGENT, {"json": {"title": "a", "count": "2"}}),
        ("POST", "/v1/things", AGENT, {"json": []}),
        ("POST", "/v1/things", AGENT, {}),
        ("POST", "/v1/things", AGENT, {"content": b"title=a"}),
        ("POST", "/v1/things", AGENT, {"content": b'{"title": "a"}', "headers": {}}),
        ("POST", "/v1/things", AGENT, {"content": b'{"title": ', "headers": JSON}),
        ("POST", "/v1/things", NOBODY, {"content": b'{"title": ', "headers": JSON}),
        ("POST", "/v1/things", AGENT, {"content": b'{"title": "\xff"}', "headers": JSON}),
        ("POST", "/v1/things", AGENT, {"content": b'{"title": NaN}', "headers": JSON}),
        (
            "POST",
            "/v1/things",
            AGENT,
            {"content": b'{"title": "a"}', "headers": {"Content-Type": "application/x+json"}},
        ),
        ("POST", "/v1/things", NOBODY, {"json": {"title": 5}}),
        ("POST", "/v1/things", AGENT, {"json": {"title": "a"}, "headers": {"Idempotency-Key": ""}}),
        ("PUT", "/v1/things/7", NOBODY, {"headers": {"If-Match": '"3"'}}),
        ("PUT", "/v1/things/7", NOBODY, {"json": {"title": "a"}, "headers": {"If-Match": "3"}}),
        ("PUT", "/v1/things/seven", NOBODY, {"json": {"count": 0}}),
        ("GET", "/v1/things?word=a&word=b&most=7", NOBODY, {}),
        ("GET", "/v1/things?most=11&least=1", AGENT, {}),
        ("GET", "/v1/names/second", NOBODY, {}),
        ("GET", "/v1/names/a%20b", NOBODY, {}),
        ("DELETE", "/v1/things/7", ADMIN, {}),
        ("DELETE", "/v1/things/7", AGENT, {}),
        ("DELETE", "/v1/things/x", AGENT, {}),
        ("DELETE", "/v1/things", ADMIN, {}),
        ("HEAD", "/v1/names/second", NOBODY, {}),
        ("GET", "/v1/nothing", NOBODY, {}),
        ("GET", "/v1/names/", NOBODY, {}),
    ],
)
async def test_it_answers_as_the_framework_does(
    both: list[httpx.AsyncClient],
    mint: Mint,
    method: str,
    path: str,
    role: str,
    extra: dict[str, Any],
) -> None:
    """Status, headers and words are the same, whatever is right or wrong with the request."""
    headers = (mint.headers(role) if role else {}) | extra.get("headers", {})
    short, long = [
        await client.request(method, path, **extra | {"headers": headers}) for client in both
    ]
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert dict(short.headers) == dict(long.headers)


def test_plain_routes_are_found_and_only_they(mint: Mint) -> None:
    """The first that fits counts; one that something is opened for goes the framework's way."""

    async def opened() -> AsyncIterator[int]:
        yield 1

    router = routes(plain=True)

    @router.get("/v1/opened")
    async def special(_: Annotated[int, Depends(opened)]) -> Response:
        return respond(None)

    app = create_app(title="Things", routers=[router], verifier=mint.verifier(), health=Health())
    direct = Direct(app, owner=app)

    def found(method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        scope: dict[str, Any] = {"method": method, "path": path}
        plain = direct._find(scope)
        return (plain.route.path, scope["path_params"]) if plain else None

    assert found("POST", "/v1/things") == ("/v1/things", {})
    assert found("PUT", "/v1/things/7") == ("/v1/things/{number}", {"number": "7"})
    assert found("GET", "/v1/names/second") == ("/v1/names/{name}", {"name": "second"})
    assert found("GET", "/livez") == ("/livez", {})
    assert found("GET", "/v1/opened") is None
    assert found("PATCH", "/v1/things") is None
