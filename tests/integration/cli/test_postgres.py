"""The local database server, and the statements with which compose sets one up."""

import subprocess
from pathlib import Path

import asyncpg
import pytest
from waybill_cli.errors import StackError
from waybill_cli.local import postgres
from waybill_cli.local.databases import ensure_databases
from waybill_cli.local.settings import SERVICES
from waybill_cli.places import project_root

INIT = project_root() / "deploy" / "postgres" / "init.sql"


def run_init(url: str) -> None:
    psql = [postgres.bin_dir() / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", INIT]
    subprocess.run(psql, check=True, capture_output=True)


async def test_a_server_comes_back_on_another_port_with_its_data(tmp_path: Path) -> None:
    first = postgres.start(tmp_path, password="se/cret")
    try:
        run_init(first.url)
        # What compose makes is what the local stack makes: nothing is left to add.
        assert await ensure_databases(first.url, SERVICES) == []
        with pytest.raises(StackError, match="the database refuses us"):
            await postgres.answers(first.url.replace("se%2Fcret", "wrong"))
    finally:
        first.stop()
    second = postgres.start(tmp_path, password="se/cret")
    try:
        for service in SERVICES:
            name = f"waybill_{service}"
            url = f"postgresql://{name}:{name}@{second.process.address}/{name}"
            connection = await asyncpg.connect(url)
            await connection.execute("CREATE TABLE mine (id int)")
            extensions = await connection.fetchval("SELECT count(*) FROM pg_extension")
            assert extensions == (2 if service == "kb" else 1)
            await connection.close()
            other = "waybill_sla" if service != "sla" else "waybill_kb"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(url.removesuffix(name) + other)
    finally:
        second.stop()
    assert second.process.find() is None
