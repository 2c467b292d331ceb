import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import event, text
from starlette.responses import Response
from waybill_chassis import problems
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.health import Health
from waybill_chassis.http import (
    Caller,
    HttpServer,
    RequestModel,
    RunOnce,
    create_app,
    idempotency,
    prune,
    respond,
    run_once,
)
from waybill_chassis.testing.tokens import Mint

NewClient = Callable[..., Awaitable[httpx.AsyncClient]]


class Thing(RequestModel):
    title: str
    refuse: bool = False


class Gate:
    """Holds effects back until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()


def routes(database: Database, gate: Gate) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/things", status_code=201)
    @router.post("/v1/others", status_code=201)
    async def create(body: Thing, caller: Caller, once: RunOnce) -> Response:
        async def effect(uow: UnitOfWork) -> Response:
            id = uuid4()
            await uow.execute(
                text("INSERT INTO thing (id, title) VALUES (:id, :title)"),
                {"id": id, "title": body.title},
            )
            gate.reached.set()
            await gate.open.wait()
            if body.refuse:
                raise problems.Conflict("Not now.")
            return respond(
                {"id": id}, status=201, version=1, location=f"/v1/things/{id}", headers={"X-A": "1"}
            )

        return await once(effect)

    return router


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def new_client(
    new_database: Database, database_url: str, clock: ManualClock, gate: Gate, mint: Mint
) -> AsyncIterator[NewClient]:
    """Makes clients, each of a replica of its own with its own connections to one database."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE thing (id uuid PRIMARY KEY, title text)"))
    async with AsyncExitStack() as stack:

        async def create(pool_size: int = 5) -> httpx.AsyncClient:
            database = Database(database_url, service="intake", clock=clock, pool_size=pool_size)
            stack.push_async_callback(database.close)
            app = create_app(
                title="Things",
                routers=[routes(database, gate)],
                verifier=mint.verifier(),
                health=Health(),
                database=database,
            )
            server = HttpServer(app, host="127.0.0.1", port=0)
            await server.start()
            stack.push_async_callback(server.stop)
            return await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{server.port}",
                    headers=mint.headers("agent"),
                    timeout=30,
                )
            )

        yield create


async def things(database: Database) -> int:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT count(*) FROM thing"))
        return int(found.scalar_one())


async def keys(database: Database) -> int:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT count(*) FROM idempotency_keys"))
        return int(found.scalar_one())


async def post(client: httpx.AsyncClient, key: str | None = "k", **options: Any) -> httpx.Response:
    path = options.pop("path", "/v1/things")
    headers = options.pop("headers", {}) | ({} if key is None else {"Idempotency-Key": key})
    return await client.post(path, json={"title": "t"} | options, headers=headers)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_of_twenty_simultaneous_requests_with_one_key_one_takes_effect(
    new_client: NewClient, new_database: Database, replicas: int
) -> None:
    """The other nineteen get the very same answer, on one replica or across two."""
    clients = [await new_client() for _ in range(replicas)]
    answers = await asyncio.gather(*(post(clients[index % replicas]) for index in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert {answer.headers["etag"] for answer in answers} == {'"1"'}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert await things(new_database) == 1


async def test_waiting_for_a_key_takes_no_connections_from_other_requests(
    new_client: NewClient, new_database: Database, gate: Gate
) -> None:
    """Twenty waiters leave the second of two connections free for somebody else's request."""
    client = await new_client(pool_size=2)
    gate.open.clear()
    waiting = [asyncio.create_task(post(client)) for _ in range(20)]
    await gate.reached.wait()
    other = asyncio.create_task(post(client, "another"))
    async with asyncio.timeout(20):
        gate.reached.clear()
        await gate.reached.wait()
        gate.open.set()
        answers = await asyncio.gather(*waiting, other)
    assert {answer.status_code for answer in answers} == {201}
    assert await things(new_database) == 2


async def test_the_same_key_with_another_body_is_refused(
    new_client: NewClient, new_database: Database
) -> None:
    """A 422 that says what to do, and nothing happens."""
    client = await new_client()
    first = await post(client)
    second = await post(client, title="something else")
    assert second.status_code == 422
    assert second.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await things(new_database) == 1
    assert (await post(client)).json() == first.json()


async def test_a_key_counts_for_its_caller_and_path_only(
    new_client: NewClient, new_database: Database, mint: Mint
) -> None:
    """Somebody else's key of the same name is another key."""
    client = await new_client()
    answers = [
        await post(client),
        await post(client, path="/v1/others"),
        await post(client, headers=mint.headers("agent", sub="ben@example.com")),
    ]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert await things(new_database) == 3


async def test_without_a_key_every_request_takes_effect(
    new_client: NewClient, new_database: Database
) -> None:
    """Nobody who did not ask for it gets an old answer."""
    client = await new_client()
    assert (await post(client, None)).json() != (await post(client, None)).json()
    assert (await things(new_database), await keys(new_database)) == (2, 0)


async def test_an_effect_that_is_refused_leaves_no_key(
    new_client: NewClient, new_database: Database
) -> None:
    """The same key is free for the next try, even with another body."""
    client = await new_client()
    assert (await post(client, refuse=True)).status_code == 409
    assert (await things(new_database), await keys(new_database)) == (0, 0)
    assert (await post(client)).status_code == 201


async def test_those_who_waited_for_a_request_that_failed_get_their_own_turn(
    new_client: NewClient, new_database: Database, gate: Gate
) -> None:
    """Across replicas: the row that was rolled back frees the next in line."""
    clients = [await new_client(), await new_client()]
    gate.open.clear()
    failing = asyncio.create_task(post(clients[0], refuse=True))
    await gate.reached.wait()
    waiting = asyncio.create_task(post(clients[1]))
    blocked = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while True:
            # A transaction each: within one, the view stays as it was first seen.
            async with new_database.reading() as connection:
                if (await connection.execute(blocked)).scalar_one():
                    break
            await asyncio.sleep(0.02)
    gate.open.set()
    assert (await failing).status_code == 409
    assert (await waiting).status_code == 201
    assert await things(new_database) == 1


async def test_an_answer_that_was_lost_on_its_way_is_given_again(
    new_client: NewClient, new_database: Database, gate: Gate
) -> None:
    """The effect is committed, the client was gone: the next try hears what happened."""
    client = await new_client()
    gate.open.clear()
    lost = asyncio.create_task(post(client))
    await gate.reached.wait()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    gate.open.set()
    async with asyncio.timeout(20):
        while True:
            if await things(new_database):
                break
            await asyncio.sleep(0.02)
    again = await post(client)
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert await things(new_database) == 1


async def test_a_request_that_takes_too_long_sends_the_others_away_for_a_moment(
    new_client: NewClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than holding their connections open: a 409 that says when to come back."""
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.05)
    client = await new_client()
    gate.open.clear()
    first = asyncio.create_task(post(client))
    await gate.reached.wait()
    second = await post(client)
    assert second.status_code == 409
    assert int(second.headers["retry-after"]) > 0
    gate.open.set()
    assert (await first).status_code == 201
    assert (await post(client)).json() == (await first).json()


async def test_a_key_that_another_replica_holds_for_too_long_is_a_conflict(
    new_database: Database, database_url: str, clock: ManualClock
) -> None:
    """The database's lock timeout ends the wait, and the key's owner is not disturbed."""
    hurried = Database(database_url, service="intake", clock=clock)

    @event.listens_for(hurried.engine.sync_engine, "connect")
    def _(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET lock_timeout = '50ms'")
        cursor.execute("COMMIT")
        cursor.close()

    async def at_once(uow: UnitOfWork) -> Response:
        return respond({"who": "second"})

    async def outer(uow: UnitOfWork) -> Response:
        with pytest.raises(problems.Conflict, match="still under way"):
            await run_once(hurried, "scope", "k", b"body", at_once)
        return respond({"who": "first"})

    assert (await run_once(new_database, "scope", "k", b"body", outer)).body == b'{"who":"first"}'
    assert (await run_once(hurried, "scope", "k", b"body", at_once)).body == b'{"who":"first"}'
    await hurried.close()


@pytest.mark.parametrize("key", ["", "k" * 256, "schl\u00fcssel", "a\tb"])
async def test_a_key_that_is_none_is_refused(
    new_client: NewClient, new_database: Database, key: str
) -> None:
    """Printable ASCII of a sensible length, or a 400."""
    client = await new_client()
    raw = [(b"Idempotency-Key", key.encode("latin-1"))]
    headers = httpx.Headers([*client.headers.raw, *raw])
    response = await client.post("/v1/things", json={"title": "t"}, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await things(new_database) == 0


async def test_keys_are_forgotten_after_a_day_and_not_before(
    new_client: NewClient, new_database: Database, clock: ManualClock
) -> None:
    """A pruned key is a new one."""
    client = await new_client()
    first = await post(client)
    clock.advance(timedelta(hours=23, minutes=59))
    await post(client, "later")
    assert await prune(new_database) == 0
    assert (await post(client)).json() == first.json()
    clock.advance(timedelta(minutes=2))
    assert await prune(new_database) == 1
    assert await keys(new_database) == 1
    assert (await post(client)).json() != first.json()
    assert (await post(client, "later")).headers["idempotent-replayed"] == "true"
