"""How the tests are shared out among parallel workers."""

import pytest

WHOLE_STACKS = ("e2e", "chaos")
START_SECONDS = 400.0
"""A whole stack may take a while to start on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file stays with one worker; whole stacks come up one after the other, not side by side."""
    for item in items:
        whole = item.path.parent.name in WHOLE_STACKS
        item.add_marker(pytest.mark.xdist_group("stack" if whole else str(item.path)))
        if whole and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_SECONDS))
