"""What the benches of taking tickets in share: databases, server processes, load, what it costs."""

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
from sqlalchemy.engine import make_url
from waybill_chassis.migrate import migrate
from waybill_chassis.testing.services import migrations_of
from waybill_chassis.testing.tokens import Mint

CONNECTIONS = 16
PRODUCT = "bench"
DESCRIPTION = "I ordered a new card two weeks ago and it is not here. " * 5


def ticket(number: int, run: str) -> dict[str, Any]:
    """A ticket of its own person."""
    return {
        "type": "technical",
        "title": f"The card {number} has not arrived",
        "description": DESCRIPTION,
        "priority": "medium",
        "language": "en",
        "tags": ["card", "delivery"],
        "order_refs": [f"A-{number}"],
        "submitter": {"email": f"{run}-{number}@example.com", "name": f"Person {number}"},
    }


@dataclass(frozen=True, slots=True)
class Used:
    """What has been used up to a moment: processor seconds, buffers, bytes of WAL."""

    server: float
    postgres: float
    hit: int
    read: int
    wal: int

    def since(self, before: "Used") -> "Used":
        """The difference."""
        return Used(
            self.server - before.server,
            self.postgres - before.postgres,
            self.hit - before.hit,
            self.read - before.read,
            self.wal - before.wal,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """What one stretch of load came to."""

    tickets: int
    seconds: float
    used: Used

    @property
    def rate(self) -> float:
        """Tickets a second by the wall clock."""
        return self.tickets / self.seconds

    @property
    def cpu(self) -> float:
        """Seconds of the server process's processor time for each ticket."""
        return self.used.server / self.tickets

    @property
    def postgres(self) -> float:
        """The same of the database's processes."""
        return self.used.postgres / self.tickets


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept: a request, its answer, the next one."""

    def __init__(self) -> None:
        """Not connected yet."""
        self._transport: Any = None
        self._buffer = b""
        self._answered: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:
        """Ready."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read on until the answer is whole."""
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark or self._answered is None:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        if len(body) >= int(lower[at : (lower + b"\r\n").index(b"\r\n", at)]):
            self._buffer = b""
            answered, self._answered = self._answered, None
            answered.set_result(head)

    def connection_lost(self, _error: Exception | None) -> None:
        """The server went away."""
        if self._answered is not None:
            self._answered.set_exception(ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> bytes:
        """The head of the answer."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered


class Server:
    """A process that takes tickets in, and the database below it."""

    def __init__(self, pid: int, port: int, pool: asyncpg.Pool, headers: str) -> None:
        """`pool` looks at the database; `headers` are sent with each request."""
        self.port, self.pool = port, pool
        self._process = psutil.Process(pid)
        self._headers = headers
        self._numbers = count()

    async def used(self) -> Used:
        """What it has used so far."""
        database = await backends(self.pool)
        async with self.pool.acquire() as connection:
            blocks = await connection.fetchrow(
                "SELECT blks_hit, blks_read FROM pg_stat_database"
                " WHERE datname = current_database()"
            )
        assert blocks is not None
        return Used(
            sum(self._process.cpu_times()[:2]),
            database.seconds,
            blocks["blks_hit"],
            blocks["blks_read"],
            database.wal,
        )

    def _request(self, run: str) -> bytes:
        body = json.dumps(ticket(number := next(self._numbers), run) | {"product": PRODUCT})
        return (
            f"POST /v1/tickets HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._headers}"
            f"Idempotency-Key: {run}-{number}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def load(self, seconds: float, connections: int = CONNECTIONS) -> Window:
        """Open tickets for so long, one after the other on each connection."""
        loop, run, opened = asyncio.get_running_loop(), uuid4().hex[:8], 0
        clients = [
            (await loop.create_connection(Connection, "127.0.0.1", self.port))[1]
            for _ in range(connections)
        ]
        before, began = await self.used(), time.perf_counter()

        async def client(connection: Connection) -> None:
            nonlocal opened
            while time.perf_counter() - began < seconds:
                head = await connection.ask(self._request(run))
                if not head.startswith(b"HTTP/1.1 201"):
                    raise SystemExit(f"a ticket was not taken: {head.decode()}")
                opened += 1

        await asyncio.gather(*map(client, clients))
        took = time.perf_counter() - began
        await asyncio.sleep(0.6)  # the spans of the last tickets are written half a second later
        used = (await self.used()).since(before)
        for connection in clients:
            connection._transport.close()
        return Window(opened, took, used)


@dataclass(frozen=True, slots=True)
class Backends:
    """What a database's connections have used: seconds of processor time, bytes of WAL."""

    seconds: float
    wal: int


async def backends(pool: asyncpg.Pool) -> Backends:
    """What the connections to the pool's database have used, its own apart."""
    async with pool.acquire() as connection:
        found = await connection.fetch(
            "SELECT pid, (pg_stat_get_backend_wal(pid)).wal_bytes AS wal FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    return Backends(
        sum(_processor_seconds(row["pid"]) for row in found),
        int(sum(row["wal"] or 0 for row in found)),
    )


def _processor_seconds(pid: int) -> float:
    try:
        return sum(psutil.Process(pid).cpu_times()[:2])
    except psutil.NoSuchProcess:  # a server elsewhere: its processes are not seen
        return 0.0


@asynccontextmanager
async def intake_database(postgres: str) -> AsyncIterator[str]:
    """The URL of a database with all of intake's migrations, dropped afterwards."""
    admin = await asyncpg.connect(postgres)
    name = f"bench_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
        await migrate(url, migrations_of("intake"))
        yield url
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@asynccontextmanager
async def _running(url: str, headers: str, *command: str, **env: str) -> AsyncIterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(part.replace("PORT", str(port)) for part in command),
        env={**os.environ, "WAYBILL_INTAKE_HTTP_PORT": str(port), **env},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
            yield Server(process.pid, port, pool, headers)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def intake(url: str, folder: Path, **env: str) -> AsyncIterator[Server]:
    """Intake as a process of the role `http`: callers, idempotency, telemetry as by default."""
    mint = Mint(folder)
    token = mint.token("service", sub=PRODUCT, products=(PRODUCT,), seconds=7200)
    async with _running(
        url,
        f"Authorization: Bearer {token}\r\n",
        "-m",
        "waybill_intake",
        WAYBILL_ROLES="http",
        WAYBILL_INTAKE_DATABASE_URL=url,
        WAYBILL_JWKS_URL=mint.jwks_url,
        WAYBILL_DATA_DIR=str(folder),
        **env,
    ) as server:
        yield server


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Server]:
    """The bare handler, as a process."""
    script = str(Path(__file__).with_name("_bare.py"))
    async with _running(url, "", script, "PORT", url) as server:
        yield server


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for keys and spans."""
    return tempfile.TemporaryDirectory(prefix="waybill-bench-")
