"""A whole stack of stand-ins on ports of its own, in a folder of its own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner
from waybill_cli.local.settings import SERVICES
from waybill_cli.main import app
from waybill_cli.testing import Said, Stack, new_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Nothing runs yet; whatever the tests start is stopped in the end."""
    packages = tmp_path_factory.mktemp("packages")
    shutil.copy(Path(__file__).with_name("stand_in.py"), packages)
    for service in SERVICES:
        package = packages / f"waybill_{service}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"from stand_in import main\n\nmain({service!r})\n")
    stack = new_stack(tmp_path_factory.mktemp("stack"), PYTHONPATH=str(packages))
    yield stack
    assert stack.run("down").code == 0


@pytest.fixture
def waybill(tmp_path: Path) -> Callable[..., Said]:
    """The command within this process, with a data folder of its own and no stack."""

    def run(*arguments: str, **env: str) -> Said:
        told = {"WAYBILL_DATA_DIR": str(tmp_path), "COLUMNS": "100", **env}
        done = CliRunner().invoke(app, arguments, env=told)
        return Said(done.exit_code, done.stdout, done.stderr)

    return run
