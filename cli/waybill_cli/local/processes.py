"""Processes that outlive the command that started them, known again by pid and start time."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from waybill_cli.errors import StackError

HOST = "127.0.0.1"
T = TypeVar("T")

# A Popen that is collected while its process runs warns; these run on by intention.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Process:
    """A process we started. `started` is in seconds after boot, which tells a reused pid apart."""

    name: str
    pid: int
    started: float
    address: str
    stop_signal: int = signal.SIGTERM
    kill_signal: int = signal.SIGKILL

    def find(self) -> psutil.Process | None:
        """The running process, or None when it is gone or its pid belongs to another one now."""
        try:
            found = psutil.Process(self.pid)
            if abs(_seconds_after_boot(found) - self.started) > 0.05:
                return None
            return found if found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def stop(self, timeout: float = 15.0) -> bool:
        """Ask the process to end, force it after `timeout` seconds. True if it had to be forced."""
        process = self.find()
        if process is None:
            return False
        for number, patience in ((self.stop_signal, timeout), (self.kill_signal, 5.0)):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                return False
            deadline = time.monotonic() + patience
            # Asked here rather than waited for: nobody may be there to collect a dead process.
            while time.monotonic() < deadline:
                if self.find() is None:
                    _collect()
                    return number != self.stop_signal
                time.sleep(0.02)
        raise StackError(f"{self.name} (pid {self.pid}) does not end; end it by hand")

    def save(self, folder: Path) -> None:
        """Write the pid file `<folder>/<name>.json`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


def recorded(folder: Path, name: str) -> Process | None:
    """The process of a pid file if it still runs; a stale or broken file counts as none."""
    try:
        process = Process(**json.loads((folder / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return process if process.find() else None


def forget(folder: Path, name: str) -> None:
    """Remove the pid file, if there is one."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    address: str,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stop_signal: int = signal.SIGTERM,
    kill_signal: int = signal.SIGKILL,
    **identity: Any,
) -> Process:
    """Start a command in a session of its own, its output appended to `log_file`.

    It holds none of our streams, so a pipe that reads us ends when we do. `identity` takes
    `user`, `group` and `extra_groups` of `subprocess.Popen`.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                cwd=cwd,
                start_new_session=True,
                **identity,
            )
        except OSError as error:
            raise StackError(f"{name} cannot start: {error}") from error
    _children.append(child)
    try:
        started = _seconds_after_boot(psutil.Process(child.pid))
    except psutil.NoSuchProcess:
        started = 0.0
    return Process(name, child.pid, started, address, stop_signal, kill_signal)


def wait_until_ready(
    process: Process, ready: Callable[[], bool], *, log_file: Path, timeout: float
) -> None:
    """Ask `ready` until it says yes.

    Raises StackError, with the end of the log, when the process ends or `timeout` seconds pass.
    """
    deadline = time.monotonic() + timeout
    while True:
        alive = process.find() is not None
        if alive and ready():
            return
        if not alive:
            raise StackError(f"{process.name} ended before it was ready: {last_words(log_file)}")
        if time.monotonic() > deadline:
            raise StackError(
                f"{process.name} was not ready within {timeout:.0f} s: {last_words(log_file)}"
            )
        time.sleep(0.05)


def last_words(log_file: Path, lines: int = 3) -> str:
    """The end of a log on one line, and where the rest is."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - 8192))
            tail = log.read().decode(errors="replace").split("\n")
    except OSError:
        tail = []
    said = [line.strip() for line in tail if line.strip()][-lines:]
    return f"{' | '.join(said) or 'it said nothing'} (log: {log_file})"


def listens(port: int, host: str = HOST) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(port: int, name: str, setting: str) -> None:
    """Raise StackError, naming who has the port, when `name` could not listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StackError(
                f"{name} needs port {port}, which {_holder(port)}; stop that or set {setting}"
            ) from error


def _holder(port: int) -> str:
    try:
        for found in psutil.net_connections("tcp"):
            here = found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port
            if here and found.pid:
                return f"{psutil.Process(found.pid).name()} (pid {found.pid}) uses"
    except psutil.Error:
        pass
    return "another program uses"


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from plain code, also where an event loop already runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _collect() -> None:
    """Forget those of our children that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def _seconds_after_boot(process: psutil.Process) -> float:
    return round(process.create_time() - psutil.boot_time(), 2)
