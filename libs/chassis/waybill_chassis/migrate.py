"""Migrations: Alembic, one process at a time; a lock is given up rather than waited out."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

LOCK_TIMEOUT = "5s"
"""How long a migration may wait for a table that is in use."""

_ADVISORY_LOCK = 0x7761_7962  # "wayb": replicas that start together migrate one after the other


async def migrate(url: str, migrations: Path) -> None:
    """Bring the database at `url` to the newest version found in the folder `migrations`."""
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})"))
            await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.commit()
            await connection.run_sync(_upgrade, migrations)
            await connection.commit()
            await connection.execute(text(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})"))
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_env() -> None:
    """What each service's `migrations/env.py` consists of."""
    from alembic import context

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def run_sql(statements: str) -> None:
    """Run the statements of a migration; each ends with `;` at the end of a line."""
    from alembic import op

    for statement in statements.split(";\n"):
        if statement.strip():
            op.execute(statement)
