"""The real stack, all of it, on ports and in a folder of its own."""

from collections.abc import Iterator

import pytest
from waybill_cli.testing import Stack, new_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A fresh stack with the demonstration, running."""
    stack = new_stack(tmp_path_factory.mktemp("stack"))
    try:
        started = stack.run("up")
        assert started.code == 0, started.out + started.err
        yield stack
    finally:
        stopped = stack.run("down")
    assert stopped.code == 0, stopped.err
    assert "by force" not in stopped.out
