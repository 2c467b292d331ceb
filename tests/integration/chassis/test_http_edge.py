import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from waybill_chassis import problems
from waybill_chassis.auth import Principal, TokenVerifier
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database
from waybill_chassis.health import Health
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Duration,
    ExpectedVersion,
    HttpServer,
    Instant,
    Limit,
    MaybeCaller,
    Page,
    RequestModel,
    RequiredVersion,
    create_app,
    require,
    respond,
)
from waybill_chassis.testing.tokens import Mint

LIMIT = 4096
NUMBERS = Cursor[tuple[int]]("numbers", tuple[int])


class Person(RequestModel):
    email: str


class Thing(RequestModel):
    title: Annotated[str, Field(max_length=100)]
    count: int = 1
    due_at: Instant | None = None
    every: Duration | None = None
    owner: Person | None = None
    owners: tuple[Person, ...] = ()


class TicketClosed(Exception):
    """An error of some domain."""


def routes(touched: list[str], away: Database) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/things", status_code=201)
    async def create(body: Thing, caller: Caller) -> Response:
        touched.append(body.title)
        return respond(body, status=201, version=1, location="/v1/things/1")

    @router.post("/v1/things/1/claim")
    async def claim(caller: Annotated[Principal, require("agent")]) -> Response:
        touched.append("claim")
        return respond(None)

    @router.patch("/v1/things/1")
    async def change(caller: Caller, expected: ExpectedVersion) -> Response:
        problems.check_version(expected, 7)
        return respond({"expected": expected}, version=8)

    @router.put("/v1/settings", dependencies=[require("admin")])
    async def replace(expected: RequiredVersion) -> Response:
        return respond({"expected": expected})

    @router.post("/v1/attachments")
    async def attach(request: Request) -> Response:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return respond({"size": size})

    @router.get("/v1/numbers", response_model=Page[int])
    async def numbers(limit: Limit = 50, cursor: CursorParam = None) -> Response:
        after = NUMBERS.decode(cursor)
        rows = [number for number in range(7) if after is None or number > after[0]][: limit + 1]
        return respond(NUMBERS.page(rows, limit, position=lambda row: (row,), item=lambda row: row))

    @router.get("/v1/things/{id}")
    async def read(id: UUID, caller: MaybeCaller) -> Response:
        return respond({"id": id, "who": caller.subject if caller else None})

    @router.get("/v1/times")
    async def times() -> Response:
        return respond({"at": datetime(2026, 1, 5, 9, tzinfo=UTC), "for": timedelta(minutes=90)})

    @router.get("/v1/conflict")
    async def conflict() -> Response:
        raise problems.Conflict("Somebody was faster.", winner={"id": UUID(int=1)})

    @router.get("/v1/closed")
    async def closed() -> Response:
        raise TicketClosed("It is closed.")

    @router.get("/v1/bug")
    async def bug() -> Response:
        raise RuntimeError("password=hunter2")

    @router.get("/v1/away")
    async def unreachable() -> Response:
        await away.ping()
        return respond(None)

    return router


@pytest.fixture
def touched() -> list[str]:
    """What the routes have done."""
    return []


@pytest.fixture
def health() -> Health:
    return Health(timeout=0.2)


@pytest.fixture
async def client(
    mint: Mint, touched: list[str], health: Health
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server, with an agent's token."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        away = Database(f"postgresql://x@127.0.0.1:{port}/x", service="intake", clock=SystemClock())
        app = create_app(
            title="Things",
            routers=[routes(touched, away)],
            verifier=mint.verifier(),
            health=health,
            asyncapi=lambda: ASYNCAPI,
            translate={TicketClosed: lambda error: problems.Conflict(str(error), allowed=[])},
            body_limit=LIMIT,
            body_limits={"/v1/attachments": 10 * LIMIT},
        )
        server = HttpServer(app, host="127.0.0.1", port=0)
        await server.start()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", headers=mint.headers("agent")
        ) as client:
            yield client
        await server.stop()
        await away.close()


ASYNCAPI: dict[str, Any] = {
    "asyncapi": "3.0.0",
    "info": {"title": "Things' events", "version": "1"},
    "channels": {
        "events": {
            "address": "waybill.things.events.v1",
            "messages": {"Opened": {"$ref": "#/components/messages/Opened"}},
        }
    },
    "operations": {"tell": {"action": "send", "channel": {"$ref": "#/channels/events"}}},
    "components": {
        "messages": {
            "Opened": {
                "title": "Opened",
                "payload": {"properties": {"<id>": {"type": "string"}}, "required": ["<id>"]},
            }
        }
    },
}


def document(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a refusal, which has all standard members."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:waybill:problem:")
    assert found["title"]
    assert found["detail"]
    assert found["instance"] == response.request.url.path
    return found


async def post(client: httpx.AsyncClient, content: bytes, kind: str | None) -> httpx.Response:
    headers = {} if kind is None else {"Content-Type": kind}
    return await client.post("/v1/things", content=content, headers=headers)


async def test_a_good_request_gets_its_answer_with_etag_and_location(
    client: httpx.AsyncClient,
) -> None:
    """Times leave in UTC, durations in ISO 8601, whatever offset they came with."""
    body = {"title": "t", "due_at": "2026-01-05T11:00:00+02:00", "every": "PT90M"}
    response = await client.post("/v1/things", json=body)
    assert response.status_code == 201
    assert response.headers["etag"] == '"1"'
    assert response.headers["location"] == "/v1/things/1"
    assert response.json()["due_at"] == "2026-01-05T09:00:00Z"
    assert response.json()["every"] == "PT1H30M"
    assert (await client.get("/v1/times")).json() == {
        "at": "2026-01-05T09:00:00Z",
        "for": "PT1H30M",
    }


async def test_all_wrong_fields_are_named_and_nothing_is_done(
    client: httpx.AsyncClient, touched: list[str]
) -> None:
    """Unknown fields come with the known ones."""
    body = {"titel": "x", "count": "5", "owner": {"mail": "x"}, "owners": [{"email": "a", "b": 1}]}
    found = document(await client.post("/v1/things", json=body), 422)
    assert {error["field"]: error["message"] for error in found["errors"]} == {
        "title": "is required",
        "count": "must be a whole number",
        "owner.email": "is required",
        "owner.mail": "is not a known field; the known ones are email",
        "owners.0.b": "is not a known field; the known ones are email",
        "titel": "is not a known field; the known ones are "
        "count, due_at, every, owner, owners, title",
    }
    assert touched == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{bad", "application/json", 400),
        (b"", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"x"', "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 400),
        (b'{"title": "\xc3\x28"}', "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b'{"title": ' + b"9" * 4000 + b"}", "application/json", 422),
        (b'{"title": "a\\u0000"}', "application/json", 422),
        (b'{"title": "\\ud800"}', "application/json", 422),
        (b'{"title": "t", "count": NaN}', "application/json", 422),
        (b'{"title": "t", "count": 1e400}', "application/json", 422),
        (b'{"title": "t"}', "text/plain", 415),
        (b'{"title": "t"}', "application/x-www-form-urlencoded", 415),
        (b'{"title": "t"}', None, 415),
        (b'{"title": "t"}', "nonsense", 415),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused_in_our_shape(
    client: httpx.AsyncClient, touched: list[str], content: bytes, kind: str | None, status: int
) -> None:
    """Broken JSON, wrong kinds, characters that are no text: never a 500, nothing done."""
    document(await post(client, content, kind), status)
    assert touched == []


async def test_json_by_another_name_is_json(client: httpx.AsyncClient) -> None:
    """A charset parameter or a +json suffix does not matter."""
    for kind in ("application/json; charset=utf-8", "application/merge-patch+json"):
        assert (await post(client, b'{"title": "t"}', kind)).status_code == 201


async def test_a_body_may_have_the_limit_and_not_a_byte_more(
    client: httpx.AsyncClient, touched: list[str]
) -> None:
    """Told by Content-Length or arriving in chunks."""
    fits = b'{"title": "t"}'.ljust(LIMIT)

    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    kind = {"Content-Type": "application/json"}
    assert (await post(client, fits, "application/json")).status_code == 201
    response = await client.post("/v1/things", content=chunks(fits), headers=kind)
    assert response.status_code == 201
    touched.clear()
    found = document(await post(client, fits + b" ", "application/json"), 413)
    assert found["limit_bytes"] == LIMIT
    response = await client.post("/v1/things", content=chunks(fits + b" "), headers=kind)
    found = document(response, 413)
    assert found["detail"] == f"The body may have at most {LIMIT} bytes."
    assert touched == []


async def test_a_body_nobody_asked_for_is_limited_too(
    client: httpx.AsyncClient, touched: list[str]
) -> None:
    """A route without a body does nothing when it gets one that is too large."""
    response = await client.post("/v1/things/1/claim", content=b"x" * (LIMIT + 1))
    document(response, 413)
    assert touched == []


async def test_a_path_can_have_a_limit_of_its_own(client: httpx.AsyncClient) -> None:
    """Attachments may be larger than other bodies, and are streamed."""

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * LIMIT

    response = await client.post("/v1/attachments", content=chunks(10))
    assert response.json() == {"size": 10 * LIMIT}
    document(await client.post("/v1/attachments", content=chunks(11)), 413)


async def test_a_very_large_body_gets_its_answer_and_the_connection_lives_on(
    client: httpx.AsyncClient,
) -> None:
    """The refusal reaches a client that is still sending."""
    document(await post(client, b"x" * (8 * 1024 * 1024), "application/json"), 413)
    assert (await client.get("/livez")).status_code == 200


async def test_without_a_token_and_with_a_wrong_one_the_answer_is_401(
    client: httpx.AsyncClient,
) -> None:
    """With the challenge that the standard asks for, before anything is said about the body."""
    for header in ("", "Basic x", "Bearer x", "Bearer a.b.c"):
        response = await client.post("/v1/things", json={}, headers={"Authorization": header})
        document(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")
    del client.headers["Authorization"]
    response = await client.post("/v1/things", json={})
    document(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_role_that_is_missing_is_a_403_that_names_it(
    client: httpx.AsyncClient, mint: Mint, touched: list[str]
) -> None:
    """A submitter cannot do what agents do; a lead can."""
    claim = "/v1/things/1/claim"
    response = await client.post(claim, headers=mint.headers("submitter"))
    assert document(response, 403)["required_roles"] == ["agent"]
    document(await client.put("/v1/settings"), 403)
    assert touched == []
    assert (await client.post(claim, headers=mint.headers("lead"))).status_code == 204


async def test_where_a_token_is_optional_a_wrong_one_is_still_refused(
    client: httpx.AsyncClient,
) -> None:
    """Nobody is taken for nobody by mistake."""
    path = f"/v1/things/{UUID(int=1)}"
    assert (await client.get(path)).json()["who"] == "ana@example.com"
    document(await client.get(path, headers={"Authorization": "Bearer x"}), 401)
    del client.headers["Authorization"]
    assert (await client.get(path)).json()["who"] is None


async def test_versions_travel_as_etags(client: httpx.AsyncClient, mint: Mint) -> None:
    """412 for a stale one, 400 for rubbish, 428 where one is required."""

    async def change(tag: str | None) -> httpx.Response:
        return await client.patch("/v1/things/1", headers={"If-Match": tag} if tag else {})

    assert (await change('"7"')).headers["etag"] == '"8"'
    assert (await change("*")).status_code == 200
    assert (await change(None)).status_code == 200
    assert document(await change('"6"'), 412)["current_version"] == 7
    document(await change("seven"), 400)
    admin = mint.headers("admin")
    document(await client.put("/v1/settings", headers=admin), 428)
    response = await client.put("/v1/settings", headers=admin | {"If-Match": '"3"'})
    assert response.json() == {"expected": 3}


async def test_lists_are_read_page_by_page(client: httpx.AsyncClient) -> None:
    """The cursor leads through all of it; bounds and made-up cursors are refused."""
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 3}
    while query.get("cursor", "first") is not None:
        page = (await client.get("/v1/numbers", params=query)).json()
        seen += page["items"]
        query["cursor"] = page["next_cursor"]
    assert seen == list(range(7))
    for wrong, message in (
        ({"limit": 0}, "must be at least 1"),
        ({"limit": 201}, "must be at most 200"),
        ({"limit": "x"}, "must be a whole number"),
        ({"cursor": "x"}, "must be the next_cursor of an earlier page of this list"),
        ({"cursor": "é"}, "must be the next_cursor of an earlier page of this list"),
    ):
        found = document(await client.get("/v1/numbers", params=wrong), 422)
        assert found["errors"] == [{"field": next(iter(wrong)), "message": message}]


async def test_addresses_that_lead_nowhere_say_so(client: httpx.AsyncClient) -> None:
    """404 for unknown paths, 405 with what would be allowed, 422 for an id that is none."""
    document(await client.get("/v1/nothing"), 404)
    document(await client.get("/v1/things/"), 404)
    response = await client.delete("/v1/settings")
    assert document(response, 405)["allowed"] == ["PUT"]
    assert response.headers["allow"] == "PUT"
    found = document(await client.get("/v1/things/abc"), 422)
    assert found["errors"] == [{"field": "id", "message": "must be a UUID"}]
    document(await client.get("/v1/things/a%00b"), 400)
    document(await client.get("/v1/numbers?cursor=a%00"), 400)


async def test_refusals_of_the_domain_are_documents_with_their_members(
    client: httpx.AsyncClient,
) -> None:
    """Raised as a problem, or translated from the domain's own error."""
    found = document(await client.get("/v1/conflict"), 409)
    assert found["winner"] == {"id": str(UUID(int=1))}
    found = document(await client.get("/v1/closed"), 409)
    assert (found["detail"], found["allowed"]) == ("It is closed.", [])


async def test_a_bug_is_a_500_that_tells_no_internals(client: httpx.AsyncClient) -> None:
    """And the server goes on."""
    response = await client.get("/v1/bug")
    document(response, 500)
    assert "hunter2" not in response.text
    assert "RuntimeError" not in response.text
    assert (await client.get("/livez")).status_code == 200


async def test_a_database_that_is_away_is_a_503_with_a_time_to_come_back(
    client: httpx.AsyncClient,
) -> None:
    """Nothing listens where the database should be."""
    response = await client.get("/v1/away")
    document(response, 503)
    assert int(response.headers["retry-after"]) > 0


async def test_readiness_names_each_dependency_and_fails_with_a_critical_one(
    client: httpx.AsyncClient, health: Health
) -> None:
    """A dependency that hangs does not make the answer hang."""
    assert (await client.get("/readyz")).json() == {"ready": True, "phase": "serving", "checks": {}}

    async def well() -> None:
        """All is well."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    health.add("kafka", well)
    health.add("kb", hangs, critical=False)
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"]["kb"]["ok"] is False
    health.add("database", hangs)
    response = await client.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["kafka"]["ok"] is True
    assert checks["database"] == checks["database"] | {
        "ok": False,
        "critical": True,
        "error": "no answer within 0.2 s",
    }
    assert (await client.get("/livez")).status_code == 200


async def test_metrics_are_exposed_in_the_format_that_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    """Prometheus text by default, OpenMetrics on request."""
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "python_info" in response.text
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = await client.get("/metrics", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")


async def test_the_documents_describe_the_api_and_the_events(client: httpx.AsyncClient) -> None:
    """Readable pages without scripts or anything from the network, and the JSON behind them."""
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for word in ("/v1/things", "owner.email", "If-Match", "limit"):
        assert word in page.text
    events = await client.get("/docs/events")
    assert "waybill.things.events.v1" in events.text
    assert "&lt;id&gt;" in events.text
    for text in (page.text, events.text):
        assert "<script" not in text
        assert "//" not in text.replace("http://json-schema.org", "")
    assert (await client.get("/docs/events.json")).json() == ASYNCAPI
    openapi = (await client.get("/openapi.json")).json()
    answers = openapi["paths"]["/v1/things"]["post"]["responses"]
    assert "application/problem+json" in answers["default"]["content"]
    assert "422" not in answers
    assert "/livez" not in openapi["paths"]


async def test_keys_can_be_served_over_http(client: httpx.AsyncClient, mint: Mint) -> None:
    """An identity provider's address works as a file does; one that is away is Unavailable."""
    router = APIRouter()

    @router.get("/jwks.json")
    async def jwks() -> Response:
        return respond({"keys": [mint.public()]})

    provider = HttpServer(
        create_app(title="Keys", routers=[router], verifier=mint.verifier(), health=Health()),
        host="127.0.0.1",
        port=0,
    )
    await provider.start()
    verifier = TokenVerifier(
        f"http://127.0.0.1:{provider.port}/jwks.json",
        issuer="waybill",
        audience="waybill",
        max_age=0.0,
        min_refresh=0.0,
    )
    assert (await verifier.verify(mint.token("agent"))).has("agent")
    await provider.stop()
    assert (await verifier.verify(mint.token("agent"))).has("agent")
    late = TokenVerifier(
        f"http://127.0.0.1:{provider.port}/jwks.json", issuer="waybill", audience="waybill"
    )
    with pytest.raises(problems.Unavailable):
        await late.verify(mint.token("agent"))
