"""Uploads over a real connection: what breaks off, is too long, or is not what it should be."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text
from waybill_chassis.clock import ManualClock
from waybill_chassis.http import HttpServer, create_app
from waybill_chassis.testing.services import tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_intake.bootstrap import build
from waybill_intake.settings import Settings

MEGABYTE = 1024 * 1024
PATH = "/v1/attachments?filename=a.txt"


@pytest.fixture
async def serving(
    new_service_database: Callable[[str], Awaitable[str]], mint: Mint, clock: ManualClock
) -> AsyncIterator[Any]:
    """Starts intake behind its real server; gives the service and the server."""
    stops = []

    async def start(**settings: Any) -> tuple[Any, HttpServer]:
        context = tested_service(
            "intake",
            build,
            Settings,
            database_url=await new_service_database("intake"),
            mint=mint,
            clock=clock,
            **settings,
        )
        tested = await context.__aenter__()
        stops.append(lambda: context.__aexit__(None, None, None))
        app = create_app(
            title="intake",
            routers=tested.edges.routers,
            verifier=tested.rt.verifier,
            health=tested.rt.health,
            database=tested.rt.database,
            body_limits=tested.edges.body_limits,
        )
        server = HttpServer(app, host="127.0.0.1", port=0, grace=1.0)
        await server.start()
        stops.append(server.stop)
        return tested, server

    yield start
    for stop in reversed(stops):
        await stop()


async def begin(
    server: HttpServer, token: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request of which only the head is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = [f"POST {PATH} HTTP/1.1", "Host: intake", f"Authorization: Bearer {token}", *headers]
    writer.write("\r\n".join([*head, "", ""]).encode())
    await writer.drain()
    return reader, writer


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def kept(tested: Any) -> tuple[int, int, int]:
    """How many rows, strays and files there are."""
    async with tested.rt.database.reading() as connection:
        rows = await connection.execute(
            text("SELECT (SELECT count(*) FROM attachments), (SELECT count(*) FROM stray_objects)")
        )
        attachments, strays = rows.one()
    folder = Path(tested.rt.settings.data_dir, "attachments")
    files = await asyncio.to_thread(lambda: sum(path.is_file() for path in folder.rglob("*")))
    return attachments, strays, files


async def until(tested: Any, wanted: Callable[[tuple[int, int, int]], bool]) -> None:
    async with asyncio.timeout(30):
        while not wanted(await kept(tested)):
            await asyncio.sleep(0.02)


async def test_an_upload_that_breaks_off_leaves_nothing(serving: Any, mint: Mint) -> None:
    tested, server = await serving()
    _, writer = await begin(server, mint.token("agent"), f"Content-Length: {20 * MEGABYTE}")
    writer.write(b"x" * (12 * MEGABYTE))
    await writer.drain()
    # The object is begun, and counts as stray.
    await until(tested, lambda found: found[1:] == (1, 1))
    writer.transport.abort()
    await until(tested, lambda found: found == (0, 0, 0))


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_too_long_is_refused_and_not_read(
    serving: Any, mint: Mint, chunked: bool
) -> None:
    tested, server = await serving(attachments_max_bytes=MEGABYTE)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {10**11}"
    reader, writer = await begin(server, mint.token("agent"), length)
    sent, piece = 0, b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def send() -> None:
        nonlocal sent
        while chunked:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    sending = asyncio.create_task(send())
    async with asyncio.timeout(30):
        status = await reader.readline()
        headers = await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait({sending})
    assert b" 413 " in status
    assert b"connection: close" in headers.lower()
    assert b"application/problem+json" in headers
    if chunked:
        assert isinstance(sending.exception(), ConnectionError)
    # What the kernels and the server hold between them, and no more.
    assert sent < 32 * MEGABYTE
    await end(writer)
    await until(tested, lambda found: found == (0, 0, 0))


async def test_a_refusal_is_heard_by_who_still_sends(serving: Any, mint: Mint) -> None:
    """A short rest is read, so that the connection lives on; a long one is not."""
    tested, server = await serving()
    base = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=base, headers=mint.headers("agent")) as client:
        for name, content, status, word in (
            ("a.png", b"MZ\x90\0" + bytes(300_000), 415, "a program"),
            ("a.txt", b"", 422, "is empty"),
            ("..", b"words", 422, "filename"),
        ):
            answer = await client.post(
                "/v1/attachments", files={"file": (name, content, "text/plain")}
            )
            assert (answer.status_code, word in answer.text) == (status, True), answer.text
            assert "connection" not in answer.headers
        refused = [
            await client.post("/v1/attachments", **body)
            for body in (
                {"files": [("file", ("a.txt", b"1")), ("file", ("b.txt", b"2"))]},
                {"files": [("file", ("a.txt", b"1")), ("more", ("b.txt", b"2"))]},
                {"data": {"file": "no file"}, "files": {}},
                {"json": {"file": "x"}},
                {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            )
        ]
        assert [answer.status_code for answer in refused] == [422, 422, 415, 415, 400]
        assert all(answer.json()["detail"] for answer in refused)
    assert await kept(tested) == (0, 0, 0)


async def test_a_long_file_is_never_whole_in_memory(
    serving: Any, mint: Mint, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 100 * MEGABYTE
    tested, server = await serving(attachments_max_bytes=200 * MEGABYTE)
    base = f"http://127.0.0.1:{server.port}"
    block = b"words and words\n" * (64 * 1024 // 16)
    process, most = psutil.Process(), 0

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.005)

    async with httpx.AsyncClient(
        base_url=base, headers=mint.headers("agent"), timeout=60
    ) as client:
        # Everything that is loaded once is loaded by now.
        assert (await client.post(PATH, content=block)).status_code == 201
        gc.collect()
        before = process.memory_info().rss
        watching = asyncio.create_task(watch())
        made = await client.post(PATH, content=body())
        assert made.status_code == 201, made.text
        up = most - before
        read, most = 0, 0
        async with client.stream("GET", f"/v1/attachments/{made.json()['id']}") as answer:
            async for chunk in answer.aiter_bytes():
                read += len(chunk)
        watching.cancel()
        assert read == size
        down = max(0, most - before)
    with capsys.disabled():
        print(f"\n100 MB up: +{up / MEGABYTE:.0f} MB of memory, down: +{down / MEGABYTE:.0f} MB")
    assert up < size / 2
    assert down < size / 2
    assert await kept(tested) == (2, 0, 2)
