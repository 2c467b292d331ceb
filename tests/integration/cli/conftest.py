"""A whole stack of stand-ins on ports of its own, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from waybill_cli.local.settings import SERVICES, StackSettings, read

COMMAND = Path(sys.executable).with_name("waybill")


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Stack:
    """The `waybill` command in an environment of its own."""

    env: Mapping[str, str]
    folder: Path

    @property
    def settings(self) -> StackSettings:
        return read(self.env)

    def run(self, *arguments: str, **more: str) -> Said:
        done = subprocess.run(
            [COMMAND, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**self.env, **more},
            timeout=100,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def asked(self, path: str, **options: object) -> dict[str, object]:
        """What a stand-in behind the gateway was asked."""
        with httpx.Client(trust_env=False) as client:
            answer = client.request(
                str(options.pop("method", "GET")), f"{self.settings.gateway_url}{path}", **options
            )
        answer.raise_for_status()
        return answer.json()


def moved_ports() -> dict[str, str]:
    """Settings that move every port of the stack into a block nobody uses."""
    names = ["GATEWAY", "GATEWAY_ADMIN", "KAFKA", "KAFKA_CONTROLLER", "POSTGRES", "SMTP"]
    first = _free_block(60)
    ports = {f"WAYBILL_{name}_PORT": first + 50 + place for place, name in enumerate(names)}
    for place, service in enumerate(SERVICES):
        # Replicas lie ten apart, so the block below holds three of each.
        ports[f"WAYBILL_{service.upper()}_HTTP_PORT"] = first + place
        ports[f"WAYBILL_{service.upper()}_GRPC_PORT"] = first + 5 + place
    return {name: str(port) for name, port in ports.items()}


def clean_environment(folder: Path) -> dict[str, str]:
    """Ours without what steers the stack elsewhere, with a data folder of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WAYBILL_", "KAFKA_", "OTEL_"))
    }
    return {**kept, **moved_ports(), "WAYBILL_DATA_DIR": str(folder), "COLUMNS": "100"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Nothing runs yet; whatever the tests start is stopped in the end."""
    folder = tmp_path_factory.mktemp("stack")
    packages = tmp_path_factory.mktemp("packages")
    shutil.copy(Path(__file__).with_name("stand_in.py"), packages)
    for service in SERVICES:
        package = packages / f"waybill_{service}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"from stand_in import main\n\nmain({service!r})\n")
    stack = Stack({**clean_environment(folder), "PYTHONPATH": str(packages)}, folder)
    yield stack
    assert stack.run("down").code == 0


@pytest.fixture
def waybill(tmp_path: Path) -> Callable[..., Said]:
    """The command with a data folder of its own and no stack."""

    def run(*arguments: str, **env: str) -> Said:
        return Stack({**clean_environment(tmp_path), **env}, tmp_path).run(*arguments)

    return run


def _free_block(size: int) -> int:
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
