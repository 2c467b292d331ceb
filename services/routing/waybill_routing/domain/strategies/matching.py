"""Minimum-cost matching: which of several tickets go to which of several agents."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

NEVER = float("-inf")
_IMPOSSIBLE = 1e6


def best_pairs(scores: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs of a row and a column, none of them twice, with the highest sum of scores.

    As many pairs as there can be: no row is left over with a column that it could have. A score of
    `NEVER` says that the two cannot be a pair; all others are above -1e5.
    """
    if not scores or not scores[0]:
        return []
    if len(scores) == 1:
        return _single(scores[0], lambda column: (0, column))
    if len(scores[0]) == 1:
        return _single([row[0] for row in scores], lambda row: (row, 0))
    table = np.asarray(scores, dtype=float)
    possible = table > NEVER
    rows, columns = linear_sum_assignment(np.where(possible, -table, _IMPOSSIBLE))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]


def _single(
    scores: Sequence[float], pair: Callable[[int], tuple[int, int]]
) -> list[tuple[int, int]]:
    best = max(range(len(scores)), key=scores.__getitem__)
    return [pair(best)] if scores[best] > NEVER else []
