"""Prints what of requirements.lock the running services need: no test, lint or local-server tools.

Run by the Dockerfile: `python runtime_lock.py requirements.lock`. The lock says of each package
what wants it (`# via`); kept is what one of our packages wants, and whatever that wants.
"""

import re
import sys
from pathlib import Path

# What builds our own packages in the image; the lock knows it as a developer's tool.
BUILD = frozenset({"hatchling", "editables"})
_NAME = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==")
_OURS = re.compile(r"waybill-(?!workspace)")


def runtime(lock: str) -> str:
    """The lock without what only developers need."""
    blocks = [block for block in re.split(r"\n(?=[A-Za-z0-9])", lock) if _NAME.match(block)]
    names = [_NAME.match(block)[1] for block in blocks]
    wanted_by = dict(zip(names, map(_via, blocks), strict=True))
    kept = set(BUILD)
    while True:
        more = {
            name
            for name, wanting in wanted_by.items()
            if any(_OURS.match(one) or one in kept for one in wanting)
        }
        if more <= kept:
            break
        kept |= more
    return "\n".join(b.rstrip() for n, b in zip(names, blocks, strict=True) if n in kept) + "\n"


def _via(block: str) -> list[str]:
    comment = block.partition("# via")[2].split("\n#")[0]
    lines = (line.strip().removeprefix("#").strip() for line in comment.splitlines())
    return [line.partition(" ")[0] for line in lines if line]


if __name__ == "__main__":
    sys.stdout.write(runtime(Path(sys.argv[1]).read_text()))
