"""The real stack, all of it, on ports and in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from waybill_cli.testing import Stack, running_stack

START_SECONDS = 600.0
"""A whole stack waits for its turn, and may take a while to start on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests the time that a stack takes to come up."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(START_SECONDS))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A fresh stack with the demonstration, running."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
