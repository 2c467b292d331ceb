"""The fixtures: servers for the session, databases and topics for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.engine import make_url

from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_chassis.migrate import migrate
from waybill_chassis.schema import create_chassis_tables
from waybill_chassis.testing import servers
from waybill_chassis.testing.services import migrations_of
from waybill_chassis.testing.tokens import Mint

_SERVERS = pytest.StashKey[ExitStack]()


def _start(
    config: pytest.Config, variable: str, server: Callable[[], AbstractContextManager[str]]
) -> str:
    """The address in the variable; where there is none, that of a server started now."""
    if variable not in os.environ:
        os.environ[variable] = config.stash[_SERVERS].enter_context(server())
    return os.environ[variable]


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before parallel workers, which inherit their addresses."""
    config.stash[_SERVERS] = ExitStack()
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        _start(config, servers.KAFKA, servers.broker)
        _start(config, servers.POSTGRES, servers.database_server)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    config.stash[_SERVERS].close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> str:
    """The bootstrap address of a real broker."""
    return _start(pytestconfig, servers.KAFKA, servers.broker)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The superuser's URL of a real PostgreSQL server."""
    return _start(pytestconfig, servers.POSTGRES, servers.database_server)


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own, empty, dropped afterwards."""
    name = f"test_{uuid4().hex}"
    admin: asyncpg.Connection[Any] = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
async def new_database(database_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """A database with the chassis' tables."""
    database = Database(database_url, service="intake", clock=clock)
    async with database.engine.begin() as connection:
        await connection.run_sync(create_chassis_tables)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def _templates(postgres_url: str) -> Iterator[dict[str, str]]:
    """Names of migrated databases by service, made when first asked for."""
    made: dict[str, str] = {}
    yield made
    # Each test has a loop of its own, so what lives for the session has none.
    asyncio.run(_drop(postgres_url, made.values()))


async def _drop(postgres_url: str, names: Iterable[str]) -> None:
    admin: asyncpg.Connection[Any] = await asyncpg.connect(postgres_url)
    for name in names:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def new_service_database(
    postgres_url: str, _templates: dict[str, str]
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Gives the URL of a fresh database with the real migrations of the service named."""
    admin: asyncpg.Connection[Any] = await asyncpg.connect(postgres_url)
    clones: list[str] = []

    def url(name: str) -> str:
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    async def create(service: str) -> str:
        if service not in _templates:
            template = f"template_{service}_{uuid4().hex}"
            await admin.execute(f"CREATE DATABASE {template}")
            if service == "kb":
                superuser: asyncpg.Connection[Any] = await asyncpg.connect(url(template))
                await superuser.execute("CREATE EXTENSION IF NOT EXISTS vector")
                await superuser.close()
            await migrate(url(template), migrations_of(service))
            _templates[service] = template
        clone = f"test_{uuid4().hex}"
        await admin.execute(f"CREATE DATABASE {clone} TEMPLATE {_templates[service]}")
        clones.append(clone)
        return url(clone)

    yield create
    for name in clones:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def mint(tmp_path: Path) -> Mint:
    """Signs tokens with a key of the test's own."""
    return Mint(tmp_path)


@pytest.fixture
def new_topic(kafka: str) -> Callable[..., Awaitable[str]]:
    """Makes a topic with a name of its own."""

    async def create(partitions: int = 1) -> str:
        name = f"test.{uuid4().hex}"
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1)])
        finally:
            await admin.close()
        return name

    return create
