"""Tables on the terminal: plain columns, at most as wide as it, in a pipe 100 columns."""

import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 100


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    cut: Sequence[str] = (),
) -> None:
    """Print rows under their titles; what does not fit is folded within its column.

    `right` names the columns that hold numbers, `cut` those that are cut short instead.
    """
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(
            title,
            justify="right" if title in right else "left",
            overflow="ellipsis" if title in cut else "fold",
            no_wrap=title in titles[:1] or title in cut,
        )
    for row in rows:
        table.add_row(*(text.replace("\n", " ") for text in row))
    console().print(table)


def console() -> Console:
    """Where tables go: no markup, no colours of its own guessing, at least 80 columns."""
    width = None
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        width = WIDTH
    return Console(width=width, highlight=False, markup=False)
