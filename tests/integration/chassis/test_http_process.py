import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from waybill_chassis.database import Database
from waybill_chassis.testing.tokens import Mint

PROGRAM = Path(__file__).with_name("http_program.py")
Start = Callable[..., Awaitable["Running"]]


class Running:
    """A process of its own and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    async def says(self, word: str) -> str:
        """The rest of the first line that begins with `word`; logs are passed over."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            async for line in self.process.stdout:
                if line.startswith(word.encode()):
                    return line.decode().removeprefix(word).strip()
        raise AssertionError(f"the process ended without saying {word}")

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()

    async def errors(self) -> list[str]:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode().splitlines()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the program; whatever still runs at the end of the test is ended."""
    started: list[Running] = []
    mint = Mint(tmp_path)

    async def starting(
        url: str = "postgresql://x@127.0.0.1:1/x", port: int = 0, grace: int = 20
    ) -> Running:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            url,
            mint.jwks_url,
            str(port),
            str(grace),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        started.append(running)
        if port == 0:
            running.port = int(await running.says("port"))
        return running

    yield starting
    for running in started:
        with suppress(ProcessLookupError):
            running.process.kill()
        await running.process.communicate()


async def refused(port: int) -> bool:
    """Whether new connections are refused, polled until a deadline."""
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    return True
                writer.close()
                await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_request_under_way_is_answered_after_the_signal(
    start: Start, number: signal.Signals
) -> None:
    """The process takes no new ones, is not ready any more, and ends well."""
    running = await start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=30) as client:
        assert (await client.get("/readyz")).status_code == 200
        answer = asyncio.create_task(client.get("/until-stop"))
        await running.says("begun")
        running.process.send_signal(number)
        assert (await answer).json() == {"ready": False}
    assert await running.ended() == 0
    assert await refused(running.port)


async def test_a_request_that_never_ends_holds_up_the_stop_no_longer_than_the_grace(
    start: Start,
) -> None:
    """The process ends by itself, and no new connection is taken meanwhile."""
    running = await start(grace=1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=60) as client:
        answer = asyncio.create_task(client.get("/endless"))
        await running.says("begun")
        running.process.send_signal(signal.SIGTERM)
        assert await refused(running.port)
        assert await running.ended() == 0
        with suppress(httpx.HTTPError):
            assert (await answer).status_code >= 500


async def test_a_request_continues_the_trace_that_it_came_with(start: Start) -> None:
    """One span named by its route; a 500 gives its trace id; probes leave no span."""
    running = await start()
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
        for probe in ("/livez", "/readyz", "/metrics"):
            await client.get(probe, headers=headers)
        response = await client.get("/bug/7", headers=headers)
    assert response.status_code == 500
    assert response.json()["trace_id"] == trace
    assert "hunter2" not in response.text
    assert await running.says("span") == f"GET /bug/{{number}} {trace} {parent} 500 ERROR"


async def test_an_idle_connection_does_not_hold_up_the_stop(start: Start) -> None:
    """A gateway keeps connections open between requests."""
    running = await start(grace=600)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
        assert (await client.get("/livez")).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_port_that_is_taken_ends_the_start_with_one_clear_line(start: Start) -> None:
    """It names the address and the variable that moves it, and the exit code is 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = await start(port=port)
        assert await running.ended() == 1
        said = [line for line in await running.errors() if "cannot listen" in line]
    assert said == [
        f"http: cannot listen on 127.0.0.1:{port}: Address already in use"
        "; stop what is there, or set WAYBILL_<SERVICE>_HTTP_PORT"
    ]


async def test_a_process_killed_between_effect_and_answer_leaves_nothing_behind(
    start: Start, new_database: Database, database_url: str, tmp_path: Path
) -> None:
    """Neither the effect nor its key: the same request can be sent again."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE thing (title text)"))
    mint = Mint(tmp_path)
    headers = mint.headers("agent") | {"Idempotency-Key": "k"}

    async def count(table: str) -> int:
        async with new_database.reading() as connection:
            return int(
                (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            )

    running = await start(database_url)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
        with pytest.raises(httpx.TransportError):
            await client.post("/v1/things", json={"title": "t", "die": True}, headers=headers)
    assert await running.ended() == -signal.SIGKILL
    assert (await count("thing"), await count("idempotency_keys")) == (0, 0)

    again = await start(database_url)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{again.port}") as client:
        response = await client.post("/v1/things", json={"title": "t"}, headers=headers)
    assert response.status_code == 201
    assert "idempotent-replayed" not in response.headers
    assert (await count("thing"), await count("idempotency_keys")) == (1, 1)
