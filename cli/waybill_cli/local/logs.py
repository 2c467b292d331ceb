"""Reading the logs of several processes at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def last(files: Sequence[Path], lines: int) -> Iterator[str]:
    """The last lines of each log, each with the name of its process when there are several."""
    width = _width(files)
    for path in files:
        with path.open(errors="replace") as log:
            for line in deque(log, maxlen=lines):
                yield _labelled(path, line, width)


def follow(files: Callable[[], Sequence[Path]], pause: float = 0.2) -> Iterator[str]:
    """Whole lines as they are written from now on, for ever.

    A new log is picked up, one that was cut is read from its start.
    `pause` is the time between two looks, in seconds.
    """
    offsets = {path: path.stat().st_size for path in files()}
    while True:
        found = files()
        width = _width(found)
        for path in found:
            for line in _fresh(path, offsets):
                yield _labelled(path, line, width)
        time.sleep(pause)


def _fresh(path: Path, offsets: dict[Path, int]) -> Iterator[str]:
    start = offsets.get(path, 0)
    if path.stat().st_size < start:
        start = 0
    with path.open("rb") as log:
        log.seek(start)
        whole, newline, _ = log.read().rpartition(b"\n")
    offsets[path] = start + len(whole) + len(newline)
    yield from (line.decode(errors="replace") for line in whole.split(b"\n") if line)


def _width(files: Sequence[Path]) -> int:
    return max((len(path.stem) for path in files), default=0) if len(files) > 1 else 0


def _labelled(path: Path, line: str, width: int) -> str:
    text = line.rstrip("\n")
    return f"{path.stem:<{width}} | {text}" if width else text
