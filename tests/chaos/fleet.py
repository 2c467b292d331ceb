"""Replicas of sla with a broker and a database of their own, and all that can befall them."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from waybill_chassis.migrate import migrate
from waybill_chassis.testing.services import AWAY, migrations_of
from waybill_chassis.testing.tokens import Mint
from waybill_cli import topics
from waybill_cli.local import kafka, postgres, services
from waybill_cli.local.processes import HOST, Process, blocking, free_port, last_words, spawn
from waybill_cli.local.settings import SERVICES
from waybill_cli.testing import one_at_a_time

UP_SECONDS = 90.0
_MOVED = Path(__file__).with_name("moved_clock.py")


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of sla. `wrong_by` is the file that says by how much its clock is wrong."""

    name: str
    process: Process
    wrong_by: Path


@dataclass(slots=True)
class Fleet:
    """What runs, and how each part is started again where it was."""

    folder: Path
    mint: Mint
    told: dict[str, str]
    """Variables for every replica."""
    kafka_port: int = field(default_factory=free_port)
    postgres_port: int = field(default_factory=free_port)
    servers: dict[str, Process] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)

    @property
    def kafka(self) -> str:
        """The broker's address."""
        return f"{HOST}:{self.kafka_port}"

    @property
    def database_url(self) -> str:
        """Sla's database."""
        return f"postgresql://{postgres.SUPERUSER}@{HOST}:{self.postgres_port}/waybill_sla"

    def start_kafka(self) -> None:
        """Start the broker and wait until it answers."""
        log = self.folder / "kafka.log"
        process = kafka.launch(self.folder / "kafka", port=self.kafka_port, log_file=log)
        self.servers["kafka"] = process
        _until(lambda: kafka.ready(self.kafka), process, log)

    def start_postgres(self) -> None:
        """Start the database server and wait until it answers."""
        log = self.folder / "postgres.log"
        process = postgres.launch(self.folder / "postgres", port=self.postgres_port, log_file=log)
        self.servers["postgres"] = process
        url = postgres.superuser_url(f"{HOST}:{self.postgres_port}", None)
        _until(lambda: postgres.ready(url), process, log)

    def start_replica(self, name: str) -> None:
        """Start a replica without waiting for it."""
        wrong_by = self.folder / f"{name}.clock"
        if not wrong_by.exists():
            wrong_by.write_text("0")
        http = free_port()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WAYBILL_", "KAFKA_", "OTEL_"))
        }
        peers = {f"WAYBILL_{service.upper()}_GRPC": AWAY for service in SERVICES}
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "WAYBILL_DATA_DIR": str(self.folder),
            "WAYBILL_JWKS_URL": self.mint.jwks_url,
            "WAYBILL_SLA_DATABASE_URL": self.database_url,
            "WAYBILL_SLA_HTTP_PORT": str(http),
            "WAYBILL_SLA_GRPC_PORT": str(free_port()),
            "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
        }
        process = spawn(
            name,
            [sys.executable, "-P", _MOVED, wrong_by],
            address=f"http://{HOST}:{http}",
            log_file=self.log_of(name),
            env={**kept, **peers, **own, **self.told},
            cwd=self.folder,
        )
        self.replicas[name] = Replica(name, process, wrong_by)

    def log_of(self, name: str) -> Path:
        """What a replica has said, in all its lives."""
        return self.folder / f"{name}.log"

    def wait_for(self, name: str) -> None:
        """Wait until a replica is ready."""
        process = self.replicas[name].process
        url = f"{process.address}/readyz"
        _until(lambda: services.ready(url), process, self.log_of(name))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Ask a replica as an administrator."""
        address = next(iter(self.replicas.values())).process.address
        with httpx.Client(base_url=address, trust_env=False, timeout=15.0) as client:
            return client.request(
                method, path, json=body, headers=self.mint.headers("admin") | headers
            )

    def stop(self) -> None:
        """End everything."""
        for process in [*(one.process for one in self.replicas.values()), *self.servers.values()]:
            found = process.find()
            if found is not None:
                # A frozen one hears nothing.
                found.resume()
            process.stop(8.0)


def _until(ready: Callable[[], bool], process: Process, log: Path) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while not ready():
        assert process.find() is not None, f"{process.name} ended: {last_words(log)}"
        assert time.monotonic() < deadline, f"{process.name} is not up: {last_words(log)}"
        time.sleep(0.05)


@contextmanager
def running_fleet(folder: Path, names: list[str], **told: str) -> Iterator[Fleet]:
    """A fleet for as long as the block lasts."""
    with one_at_a_time():
        fleet = Fleet(folder, Mint(folder), told)
        try:
            fleet.start_kafka()
            fleet.start_postgres()
            blocking(topics.ensure(fleet.kafka, topics.declared().for_services()))
            blocking(_database(fleet))
            for name in names:
                fleet.start_replica(name)
            for name in names:
                fleet.wait_for(name)
            yield fleet
        finally:
            fleet.stop()


async def _database(fleet: Fleet) -> None:
    address = f"{HOST}:{fleet.postgres_port}"
    connection = await asyncpg.connect(postgres.superuser_url(address, None))
    await connection.execute("CREATE DATABASE waybill_sla")
    await connection.close()
    await migrate(fleet.database_url, migrations_of("sla"))


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune: what was done to whom, and from when until when it lasted."""

    what: str
    whom: str
    began: datetime
    ended: datetime

    def __str__(self) -> str:
        """A line of the story."""
        return f"{self.what} {self.whom}, {(self.ended - self.began).total_seconds():.1f} s"


KINDS = ("killed", "frozen", "ahead", "behind", "restarted", "postgres", "kafka")
CALM_SECONDS = 5.0
"""At first nothing is down, to compare with."""

SERVER_SECONDS = 18.0
"""A server is hit at most so often, or nothing would ever get done."""


@dataclass(slots=True)
class Torment:
    """One misfortune after the other, some at the same time; however short, each kind once."""

    fleet: Fleet
    chance: random.Random
    pause: float = 2.2
    done: list[Fault] = field(default_factory=list)
    _first: list[str] = field(default_factory=list)
    _hit: set[str] = field(default_factory=set)
    _next_server: float = 0.0

    async def run(self, seconds: float) -> None:
        """Go on for so long; when it returns everything is up again."""
        await asyncio.sleep(CALM_SECONDS)
        began, running = time.monotonic(), set[asyncio.Task[None]]()
        # The broker last: it takes longest to come back.
        self._first = [*self.chance.sample(KINDS[:-1], len(KINDS) - 1), KINDS[-1]]
        while self._first or time.monotonic() - began < seconds:
            # Later there is time in between in which nothing is down.
            pause = self.pause if self._first else 4 * self.pause
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause)
            misfortune = self._begin((self._first or [self.chance.choice(KINDS)])[0])
            if misfortune is not None:
                running.add(asyncio.create_task(misfortune))
                self._first = self._first[1:]
        await asyncio.gather(*running)

    def _begin(self, kind: str) -> Coroutine[Any, Any, None] | None:
        """What is to be done, unless it has to wait."""
        if kind in ("kafka", "postgres"):
            now = time.monotonic()
            if self._hit & {"kafka", "postgres"} or (not self._first and now < self._next_server):
                return None
            self._next_server = now + SERVER_SECONDS
            return self._lasting(kind, kind, self._server)
        whole = [name for name in self.fleet.replicas if name not in self._hit]
        if not whole:
            return None
        deeds = {
            "killed": self._kill,
            "restarted": self._restart,
            "frozen": self._freeze,
            "ahead": self._ahead,
            "behind": self._behind,
        }
        return self._lasting(kind, self.chance.choice(whole), deeds[kind])

    async def _lasting(self, what: str, whom: str, deed: Callable[[str], Awaitable[None]]) -> None:
        self._hit.add(whom)
        began = datetime.now(UTC)
        try:
            await deed(whom)
        finally:
            self._hit.discard(whom)
        self.done.append(Fault(what, whom, began, datetime.now(UTC)))

    async def _server(self, name: str) -> None:
        process = self.fleet.servers[name]
        # The database recovers as from a crash; a broker that is killed is away for a session of
        # its own, 15 s, in which nothing else could be seen.
        await _end(process, process.stop_signal if name == "kafka" else process.kill_signal)
        start = self.fleet.start_kafka if name == "kafka" else self.fleet.start_postgres
        await asyncio.to_thread(start)

    async def _kill(self, name: str) -> None:
        await _end(self.fleet.replicas[name].process, signal.SIGKILL)
        await asyncio.sleep(self.chance.uniform(0.2, 3.0))
        await self._up(name)

    async def _restart(self, name: str) -> None:
        await asyncio.to_thread(self.fleet.replicas[name].process.stop, 40.0)
        await self._up(name)

    async def _up(self, name: str) -> None:
        self.fleet.start_replica(name)
        # Broker or database may be away: then it is ready when they are back.
        await asyncio.to_thread(self.fleet.wait_for, name)

    async def _freeze(self, name: str) -> None:
        process = self.fleet.replicas[name].process.find()
        assert process is not None, f"{name} died by itself"
        # Later on sometimes for longer than the broker waits for a member of a group.
        long = not self._first and self.chance.random() < 0.25
        process.suspend()
        try:
            await asyncio.sleep(13.0 if long else self.chance.uniform(2.0, 6.0))
        finally:
            process.resume()

    async def _ahead(self, name: str) -> None:
        await self._wrong(name, self.chance.uniform(2.0, 8.0))

    async def _behind(self, name: str) -> None:
        await self._wrong(name, -self.chance.uniform(2.0, 8.0))

    async def _wrong(self, name: str, seconds: float) -> None:
        """Move a replica's clock, and some time later back."""
        path = self.fleet.replicas[name].wrong_by
        for moved in (seconds, 0.0):
            # Whole or not at all: it may be read at any moment.
            fresh = path.with_suffix(".new")
            fresh.write_text(f"{moved}")
            fresh.replace(path)
            await asyncio.sleep(self.chance.uniform(2.0, 5.0) if moved else 0.0)


async def _end(process: Process, number: int) -> None:
    found = process.find()
    assert found is not None, f"{process.name} died by itself"
    with contextlib.suppress(psutil.NoSuchProcess):
        found.send_signal(number)
    while process.find() is not None:
        await asyncio.sleep(0.01)
