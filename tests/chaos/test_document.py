"""What docs/guarantees.md leans on is there."""

import re

from waybill_cli.places import project_root

DOCUMENT = project_root() / "docs" / "guarantees.md"


def test_every_test_and_file_that_the_guarantees_name_exists() -> None:
    text = DOCUMENT.read_text()
    tests = project_root() / "tests"
    defined = {
        name
        for path in tests.rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert not named - defined
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert not [link for link in links if not (DOCUMENT.parent / link).exists()]


def test_every_promise_that_was_looked_at_in_the_chaos_is_named() -> None:
    looked_at = re.findall(
        r"^def (test_\d+_\w+)",
        (DOCUMENT.parents[1] / "tests/chaos/test_guarantees.py").read_text(),
        re.M,
    )
    assert not [name for name in looked_at if f"`{name}`" not in DOCUMENT.read_text()]
