"""A process that is killed while tickets share a transaction: all of it, or nothing, and once."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import httpx
import pytest
from waybill_chassis.testing.tokens import Mint

CLIENTS = 12
_BESIDE = {
    "outbox": "aggregateid",
    "event_sequence": "aggregateid",
    "ticket_log": "ticket_id::text",
    "ticket_list": "ticket_id::text",
    "ticket_text": "ticket_id::text",
    "ticket_statistics": "ticket_id::text",
}
"""What is written with a ticket, and the column that names it there."""


@pytest.fixture
async def store(
    new_service_database: Callable[[str], Awaitable[str]],
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Looks at the database that all processes of a test write to."""
    url = await new_service_database("intake")
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


class Process:
    """Intake as a process of its own, to be killed."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx.AsyncClient) -> None:
        self._process = process
        self._client = client

    async def open(self, name: str) -> httpx.Response:
        """Ask for the ticket of this name, which is its key as well."""
        body = {
            "type": "technical",
            "title": f"Ticket {name}",
            "description": "It does not start.",
            "product": "shop",
            "submitter": {"email": f"{name}@example.com"},
        }
        return await self._client.post(
            "/v1/tickets", json=body, headers={"Idempotency-Key": f"key-{name}"}
        )

    async def kill(self) -> None:
        """As a machine that loses its power would."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def running(store: "asyncpg.Connection[Any]", mint: Mint) -> AsyncIterator[Process]:
    """A process of the role `http`, ready."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    database = await store.fetchval("SELECT current_database()")
    address = os.environ["WAYBILL_TEST_POSTGRES_URL"].rpartition("/")[0]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "waybill_intake",
        env=os.environ
        | {
            "WAYBILL_ROLES": "http",
            "WAYBILL_INTAKE_HTTP_PORT": str(port),
            "WAYBILL_INTAKE_DATABASE_URL": f"{address}/{database}",
            "WAYBILL_JWKS_URL": mint.jwks_url,
            "WAYBILL_DATA_DIR": str(mint.folder),
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=mint.headers("agent"), timeout=40
    ) as client:
        try:
            async with asyncio.timeout(60):
                while True:
                    with suppress(httpx.TransportError):
                        if (await client.get("/readyz")).is_success:
                            break
                    await asyncio.sleep(0.05)
            yield Process(process, client)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def numbers(store: "asyncpg.Connection[Any]") -> dict[str, list[str]]:
    """The ids of the tickets by their names."""
    found: dict[str, list[str]] = {}
    for row in await store.fetch("SELECT id::text, title FROM tickets"):
        found.setdefault(row["title"].removeprefix("Ticket "), []).append(row["id"])
    return found


async def is_whole(store: "asyncpg.Connection[Any]") -> bool:
    """Whether what stands beside the tickets is of them, each once, and they all have it."""
    tickets = sorted(row["id"] for row in await store.fetch("SELECT id::text FROM tickets"))
    for table, column in _BESIDE.items():
        beside = [row[0] for row in await store.fetch(f"SELECT {column} FROM {table}")]
        if sorted(beside) != tickets:
            return False
    keys = await store.fetchval("SELECT count(*) FROM idempotency_keys WHERE status = 201")
    return bool(keys == len(tickets))


async def gone(store: "asyncpg.Connection[Any]") -> None:
    """Come back once the server has noticed that the killed process's connections are dead."""
    async with asyncio.timeout(30):
        while await store.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'waybill-intake%'"
        ):
            await asyncio.sleep(0.02)


async def open_again(
    store: "asyncpg.Connection[Any]",
    mint: Mint,
    names: Iterable[str],
    answered: dict[str, dict[str, Any]],
) -> None:
    """A new process takes all of them, repeated with their keys: each is one ticket in the end."""
    names = list(names)
    async with running(store, mint) as process:
        responses = await asyncio.gather(*map(process.open, names))
    found = await numbers(store)
    for name, response in zip(names, responses, strict=True):
        assert response.status_code == 201, response.text
        assert found[name] == [response.json()["id"]]
        if name in answered:
            assert response.json() == answered[name]
            assert response.headers["idempotent-replayed"] == "true"
    assert await is_whole(store)


async def test_what_a_killed_process_had_not_committed_is_gone_and_can_be_sent_again(
    store: "asyncpg.Connection[Any]", mint: Mint, postgres_url: str
) -> None:
    """Keys are claimed and people written when it dies: nothing of either is left."""
    assert postgres_url
    names = [f"n{number}" for number in range(CLIENTS)]
    database = await store.fetchval("SELECT current_database()")
    holder = await asyncpg.connect(f"{postgres_url.rpartition('/')[0]}/{database}")
    await holder.execute(
        "INSERT INTO submitters (id, email, name) "
        "SELECT gen_random_uuid(), email, '' FROM unnest($1::text[]) AS email",
        [f"{name}@example.com" for name in names],
    )
    async with running(store, mint) as process:
        # Whoever opens a ticket for somebody waits for the lock of that person.
        held = holder.transaction()
        await held.start()
        await holder.execute("SELECT FROM submitters FOR UPDATE")
        asked = [asyncio.create_task(process.open(name)) for name in names]
        async with asyncio.timeout(30):
            while (
                await store.fetchval(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                < 2
            ):
                await asyncio.sleep(0.01)
        await process.kill()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)
        await held.rollback()
        await holder.close()
    await gone(store)
    assert await numbers(store) == {}
    assert await store.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    await open_again(store, mint, names, {})


async def test_whoever_was_answered_has_a_ticket_whenever_the_process_dies(
    store: "asyncpg.Connection[Any]", mint: Mint, postgres_url: str
) -> None:
    """Killed in the middle of a stream of tickets; repeated with its key each is there once."""
    assert postgres_url
    answered: dict[str, dict[str, Any]] = {}
    asked: list[str] = []
    enough, wanted = asyncio.Event(), random.randint(40, 120)
    async with running(store, mint) as process:

        async def client(number: int) -> None:
            with suppress(httpx.TransportError):
                while True:
                    asked.append(name := f"n{number}-{len(asked)}")
                    response = await process.open(name)
                    assert response.status_code == 201, response.text
                    answered[name] = response.json()
                    if len(answered) >= wanted:
                        enough.set()

        clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
        async with asyncio.timeout(60):
            await enough.wait()
        await process.kill()
        await asyncio.gather(*clients)
    await gone(store)
    assert await is_whole(store)
    found = await numbers(store)
    assert {name: found[name] for name in answered} == {
        name: [ticket["id"]] for name, ticket in answered.items()
    }
    await open_again(store, mint, asked, answered)
