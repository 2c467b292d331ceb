"""Tables on the terminal: plain columns, as wide as it, in a pipe 100 columns."""

import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence

import typer

_WIDTH = 100
_LEAST = 20


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    cut: bool = False,
) -> None:
    """Print rows under their titles.

    Only the last column gives way when there is too little room: it is folded, or `cut` short.
    `right` names the columns that hold numbers.
    """
    width = shutil.get_terminal_size((_WIDTH, 24)).columns
    for line in lines(titles, rows, right=right, cut=cut, width=width):
        typer.echo(line)


def lines(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str],
    cut: bool,
    width: int,
) -> Iterator[str]:
    """The lines of the table; control characters become blanks."""
    everything = [titles, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    room = max(_LEAST, width - sum(widths[:-1]) - 2 * (len(titles) - 1))
    widths[-1] = min(widths[-1], room)
    for row in everything:
        for folded in _folded(row[-1], room, cut):
            cells = [*row[:-1], folded]
            yield "  ".join(
                cell.rjust(size) if title in right else cell.ljust(size)
                for cell, size, title in zip(cells, widths, titles, strict=True)
            ).rstrip()
            row = [""] * len(row)  # noqa: PLW2901 - what is folded has nothing more to its left


def _folded(text: str, room: int, cut: bool) -> list[str]:
    if cut:
        return [text if len(text) <= room else f"{text[: room - 3]}..."]
    return textwrap.wrap(text, room) or [""]


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)
