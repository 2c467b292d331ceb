"""The fixtures: servers for the session, databases and topics for each test."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.engine import make_url

from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_chassis.schema import create_chassis_tables
from waybill_chassis.testing import servers

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
