"""Five databases and five roles on the local server; each role sees its own database only."""

import secrets
from collections.abc import Iterable
from pathlib import Path

import asyncpg

from waybill_cli.errors import StackError

# Extensions that only the superuser can add, by service.
_EXTENSIONS = {"kb": ("vector",)}


def superuser_password(folder: Path) -> str:
    """The local superuser's password, made on first use and kept beside the data."""
    path = folder / "superuser.password"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


async def ensure_databases(superuser_url: str, services: Iterable[str]) -> list[str]:
    """Make the roles and databases that are missing; the names of the databases made.

    A role's password is its name: the server listens on this machine only.
    """
    try:
        connection = await asyncpg.connect(superuser_url, timeout=10)
        try:
            made = [s for s in services if await _ensure(connection, f"waybill_{s}")]
        finally:
            await connection.close()
        for service, extensions in _EXTENSIONS.items():
            if service in made:
                await _extend(superuser_url, f"waybill_{service}", extensions)
        return made
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StackError(f"the databases cannot be made: {error}") from error


async def _ensure(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> bool:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        return False
    await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    await connection.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
    return True


async def _extend(superuser_url: str, database: str, extensions: Iterable[str]) -> None:
    connection = await asyncpg.connect(superuser_url, database=database, timeout=10)
    try:
        for extension in extensions:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    finally:
        await connection.close()
