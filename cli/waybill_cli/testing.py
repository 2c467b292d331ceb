"""The `waybill` command in an environment of its own, for tests that need a stack."""

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from waybill_cli.local.settings import SERVICES, StackSettings, read

COMMAND = Path(sys.executable).with_name("waybill")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack with a folder and ports of its own, which may or may not run."""

    env: Mapping[str, str]
    folder: Path

    @property
    def settings(self) -> StackSettings:
        """Its ports and folders."""
        return read(self.env)

    def run(self, *arguments: str, timeout: float = 300.0, **more: str) -> Said:
        """Run `waybill` with these arguments; `more` are variables for this one run."""
        done = subprocess.run(
            [COMMAND, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**self.env, **more},
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def client(self, **options: Any) -> httpx.Client:
        """A client of its gateway."""
        url = self.settings.gateway_url
        return httpx.Client(base_url=url, trust_env=False, timeout=15.0, **options)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Parallel test workers take turns: two whole stacks are too much for two cores."""
    with (Path(tempfile.gettempdir()) / "waybill-stack.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@contextmanager
def running_stack(folder: Path, *arguments: str, **more: str) -> Iterator[Stack]:
    """A fresh stack that runs for as long as the block lasts; `arguments` go to `waybill up`."""
    with one_at_a_time():
        stack = new_stack(folder, **more)
        try:
            started = stack.run("up", *arguments)
            assert started.code == 0, started.out + started.err
            yield stack
        finally:
            stopped = stack.run("down")
        assert stopped.code == 0, stopped.err


def new_stack(folder: Path, **more: str) -> Stack:
    """A stack that keeps everything in `folder`, on ports that nobody uses."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WAYBILL_", "KAFKA_", "OTEL_"))
    }
    own = {**moved_ports(), "WAYBILL_DATA_DIR": str(folder), "COLUMNS": "100"}
    return Stack({**kept, **own, **more}, folder)


def moved_ports() -> dict[str, str]:
    """Settings that move every port of the stack into a block that nobody uses."""
    names = ["GATEWAY", "GATEWAY_ADMIN", "KAFKA", "KAFKA_CONTROLLER", "POSTGRES", "SMTP"]
    first = _free_block(60)
    ports = {f"WAYBILL_{name}_PORT": first + 50 + place for place, name in enumerate(names)}
    for place, service in enumerate(SERVICES):
        # Replicas lie ten apart, so the block holds five of each.
        ports[f"WAYBILL_{service.upper()}_HTTP_PORT"] = first + place
        ports[f"WAYBILL_{service.upper()}_GRPC_PORT"] = first + 5 + place
    return {name: str(port) for name, port in ports.items()}


def _free_block(size: int) -> int:
    # Parallel workers begin at different places.
    for first in range(21000 + os.getpid() % 97 * 100, 32000, 100):
        if all(_is_free(port) for port in range(first, first + size)):
            return first
    raise RuntimeError("no block of ports is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
