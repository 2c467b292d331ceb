"""What creates promise that share a transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import chain
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import text
from starlette.responses import Response
from waybill_chassis import problems
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.health import Health
from waybill_chassis.http import (
    Caller,
    HttpServer,
    RequestModel,
    RunOnce,
    Sharing,
    create_app,
    respond,
)
from waybill_chassis.testing.tokens import Mint

_INSERT = text("INSERT INTO thing (id, title) VALUES (:id, :title)")


class Thing(RequestModel):
    title: str


async def fits(_: UnitOfWork, title: str) -> bool:
    return title != "odd"


class Door:
    """Opens things: the first goes alone and is held back, so that the others gather."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.held = asyncio.Event()

    def routes(self, database: Database) -> APIRouter:
        router, sharing = APIRouter(), Sharing(database, self.all, fits)

        @router.post("/v1/things", status_code=201)
        async def create(body: Thing, _: Caller, once: RunOnce) -> Response:
            async def effect(uow: UnitOfWork) -> Response:
                if body.title == "held":
                    self.held.set()
                    await self.open.wait()
                (response,) = await self.written(uow, [body.title])
                if body.title == "odd":
                    raise problems.Conflict("It is odd.")
                return response

            return await once(effect, share=partial(sharing, body.title))

        return router

    async def all(self, uow: UnitOfWork, titles: Sequence[str]) -> list[Response]:
        responses = await self.written(uow, titles)
        if "spoiler" in titles:
            raise RuntimeError("it does not go together")
        return responses

    async def written(self, uow: UnitOfWork, titles: Sequence[str]) -> list[Response]:
        responses = []
        for title in titles:
            id = uuid4()
            await uow.execute(_INSERT, {"id": id, "title": title})
            responses.append(respond({"id": id, "title": title}, status=201, version=1))
        return responses


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(
    new_database: Database, door: Door, mint: Mint
) -> AsyncIterator[httpx.AsyncClient]:
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE thing (id uuid PRIMARY KEY, title text)"))
    app = create_app(
        title="Things",
        routers=[door.routes(new_database)],
        verifier=mint.verifier(),
        health=Health(),
        database=new_database,
    )
    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}", headers=mint.headers("agent"), timeout=30
    ) as client:
        yield client
    await server.stop()


async def opened_at_once(
    client: httpx.AsyncClient, door: Door, titles: Sequence[str]
) -> dict[str, httpx.Response]:
    """Each of `titles` asked for with itself as the key, while another one is under way."""

    def ask(title: str, key: str) -> Any:
        headers = {"Idempotency-Key": key}
        return asyncio.create_task(
            client.post("/v1/things", json={"title": title}, headers=headers)
        )

    held = ask("held", "held")
    await asyncio.wait_for(door.held.wait(), 10)
    asked = {title: ask(title, title) for title in titles}
    # Once this is answered the server has read what was sent before.
    await client.get("/livez")
    door.open.set()
    await asyncio.gather(held, *asked.values())
    return {title: task.result() for title, task in asked.items()}


async def titles_by_transaction(database: Database) -> list[list[str]]:
    async with database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT array_agg(title ORDER BY title) AS titles FROM thing "
                "WHERE title <> 'held' GROUP BY xmin::text ORDER BY 1"
            )
        )
        return [row.titles for row in rows]


async def test_creates_that_wait_share_transactions_and_each_gets_its_own_answer(
    client: httpx.AsyncClient, door: Door, new_database: Database
) -> None:
    """Fewer transactions than creates; a key that is sent again gives the same answer."""
    titles = [f"thing {number}" for number in range(8)]
    answers = await opened_at_once(client, door, titles)
    assert {title: answer.json()["title"] for title, answer in answers.items()} == {
        title: title for title in titles
    }
    shared = await titles_by_transaction(new_database)
    assert sorted(chain(*shared)) == titles
    assert len(shared) < len(titles)
    for title, first in answers.items():
        again = await client.post(
            "/v1/things", json={"title": title}, headers={"Idempotency-Key": title}
        )
        assert (again.content, again.headers["etag"]) == (first.content, '"1"')
        assert again.headers["idempotent-replayed"] == "true"


async def test_what_is_refused_costs_the_others_nothing(
    client: httpx.AsyncClient, door: Door, new_database: Database
) -> None:
    """The odd one hears why and leaves no key; those with it are created."""
    answers = await opened_at_once(client, door, ["a", "odd", "b", "c"])
    assert [answers[title].status_code for title in ("a", "odd", "b", "c")] == [201, 409, 201, 201]
    assert sorted(chain(*await titles_by_transaction(new_database))) == ["a", "b", "c"]
    again = await client.post(
        "/v1/things", json={"title": "even"}, headers={"Idempotency-Key": "odd"}
    )
    assert again.status_code == 201


async def test_when_it_fails_together_each_goes_alone_and_once(
    client: httpx.AsyncClient, door: Door, new_database: Database
) -> None:
    """Nothing is left of the common attempt."""
    titles = ["a", "b", "spoiler", "z"]
    answers = await opened_at_once(client, door, titles)
    assert {answer.status_code for answer in answers.values()} == {201}
    shared = await titles_by_transaction(new_database)
    assert sorted(chain(*shared)) == titles
    assert ["spoiler"] in shared


async def test_a_key_that_is_taken_already_is_answered_as_before(
    client: httpx.AsyncClient, door: Door, new_database: Database
) -> None:
    """A repeated request among new ones opens nothing."""
    headers = {"Idempotency-Key": "a"}
    first = await client.post("/v1/things", json={"title": "a"}, headers=headers)
    answers = await opened_at_once(client, door, ["a", "b", "c"])
    assert answers["a"].json() == first.json()
    assert answers["a"].headers["idempotent-replayed"] == "true"
    assert sorted(chain(*await titles_by_transaction(new_database))) == ["a", "b", "c"]


async def test_one_that_has_to_wait_does_not_hold_up_the_others(
    client: httpx.AsyncClient, door: Door, new_database: Database
) -> None:
    """All are answered while the first is still under way, however many come."""

    async def ask(title: str) -> int:
        headers = {"Idempotency-Key": title}
        return (await client.post("/v1/things", json={"title": title}, headers=headers)).status_code

    held = asyncio.create_task(ask("held"))
    await asyncio.wait_for(door.held.wait(), 10)
    for turn in range(3):
        asked = (ask(f"thing {turn}-{number}") for number in range(4))
        assert set(await asyncio.wait_for(asyncio.gather(*asked), 20)) == {201}
    assert not held.done()
    door.open.set()
    assert await held == 201
    assert len(list(chain(*await titles_by_transaction(new_database)))) == 12
