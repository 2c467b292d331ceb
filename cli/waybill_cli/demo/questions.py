"""What people ask: from a CSV file, or the questions that ship with the project."""

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from waybill_cli.errors import StackError

OWN = Path(__file__).with_name("questions.csv")
TYPES = ("technical", "account", "order", "product_inquiry", "complaint", "suggestion")
_LONGEST_TITLE, _LONGEST_TEXT, _LONGEST_TAG = 200, 20_000, 50


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what it is about."""

    text: str
    category: str

    @property
    def type(self) -> str:
        """The category where it is a ticket's type, else a question about a product."""
        return self.category if self.category in TYPES else "product_inquiry"

    @property
    def title(self) -> str:
        """Its first line, as far as a title may be."""
        first = self.text.split("\n", 1)[0]
        return first if len(first) <= _LONGEST_TITLE else f"{first[: _LONGEST_TITLE - 3]}..."


def load(path: Path | None) -> list[Question]:
    """The questions of a file. Raises StackError when there are none or it is no CSV.

    Without a column `text` the first one is taken; without `category` there is none.
    """
    path = path or OWN
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            column = "text" if "text" in names else names[0] if names else ""
            found = [
                Question(text[:_LONGEST_TEXT], (row.get("category") or "").strip()[:_LONGEST_TAG])
                for row in rows
                if (text := (row.get(column) or "").strip())
            ]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise StackError(f"{path} cannot be read as CSV: {error}") from error
    if not found:
        raise StackError(f"{path} holds no questions: it needs a column text and rows below it")
    return found


def take(questions: Sequence[Question], count: int) -> list[Question]:
    """The first `count`, beginning anew when there are fewer."""
    return list(itertools.islice(itertools.cycle(questions), count))
