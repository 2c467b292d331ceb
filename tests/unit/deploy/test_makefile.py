"""`make` names what the machine lacks in one line, and explains itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waybill_cli.places import project_root

MAKEFILE = project_root() / "Makefile"
PROGRAMS = ("python3", "git", "java", "mvn")


def make(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "MAKE"))}
    return subprocess.run(
        ["/usr/bin/env", "make", "-f", MAKEFILE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**kept, **env},
    )


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs, all of them there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "ls", "awk", "grep", *PROGRAMS):
        (programs / name).symlink_to(shutil.which(name) or "/bin/true")
    # Whatever python3 is here, a shim that needs more programs would do no good.
    python = programs / "python3"
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return programs


def test_nothing_is_said_when_nothing_is_missing(machine: Path) -> None:
    assert make(machine, "tools", PATH=str(machine)).returncode == 0


def test_everything_that_is_missing_is_named_in_one_line(machine: Path) -> None:
    for name in PROGRAMS:
        (machine / name).unlink()
    said = make(machine, "tools", PATH=str(machine))
    assert said.returncode != 0
    line = said.stderr.splitlines()[0]
    for words in ("Python 3.11", "git", "Java 17", "Maven", "apt-get install"):
        assert words in line


def test_a_broker_that_is_named_needs_no_java(machine: Path) -> None:
    for name in ("java", "mvn"):
        (machine / name).unlink()
    said = make(machine, "tools", PATH=str(machine), KAFKA_BOOTSTRAP_SERVERS="broker:9092")
    assert said.returncode == 0, said.stderr


def test_help_explains_every_target_that_people_use(tmp_path: Path) -> None:
    said = make(tmp_path, "help").stdout
    for target in ("run", "down", "test", "lint", "types", "proto", "check", "bench", "help"):
        assert re.search(rf"^  make {target} +\S", said, re.MULTILINE), target
