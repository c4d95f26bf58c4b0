"""All pairs of rows that answered the same prompts: simultaneous intervals, and each row's rank as an interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from prefrepro.stats.intervals import ALPHA, Estimates, two_levels

DRAWS = 20_000
"""Draws of the largest |t| of all pairs, which give its 95 % point to 0.01."""


class Pair(NamedTuple):
    """Row `first` less row `second`; the intervals of all pairs hold the truth together in 95 %."""

    first: int
    second: int
    value: float
    low: float
    high: float
    method: str
    """max_t: one seed each. bonferroni_t: several."""


def all_pairs(rows: Sequence[Estimates]) -> list[Pair]:
    """Every pair in the order given. The estimates' moves are of the same prompts."""
    pairs = list(combinations(range(len(rows)), 2))
    is_one = all(len(row.values) == 1 for row in rows)
    shared = _largest_t(rows, pairs) if is_one else None
    found = []
    for i, j in pairs:
        variance = two_levels([rows[i], rows[j]])
        most = float(student.ppf(1 - ALPHA / 2 / len(pairs), variance.freedom)) if shared is None else shared
        value, half = rows[i].value - rows[j].value, most * variance.total**0.5
        method = "max_t" if is_one else "bonferroni_t"
        found.append(Pair(i, j, value, value - half, value + half, method))
    return found


def ranks(n_rows: int, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Best and worst rank of each row that the pairs' intervals leave open; 1 is the highest value."""
    above, below = np.zeros(n_rows, dtype=int), np.zeros(n_rows, dtype=int)
    for pair in pairs:
        if pair.low > 0 or pair.high < 0:
            better, worse = (pair.first, pair.second) if pair.low > 0 else (pair.second, pair.first)
            above[worse] += 1
            below[better] += 1
    return [(1 + int(up), n_rows - int(down)) for up, down in zip(above, below, strict=True)]


def _largest_t(rows: Sequence[Estimates], pairs: Sequence[tuple[int, int]]) -> float:
    """95 % point of the largest |t| over all pairs, whose differences share their prompts (max-t, Hothorn 2008)."""
    moves = np.concatenate([row.moves for row in rows])
    covariance = moves @ moves.T
    drawn = np.random.default_rng(len(rows)).multivariate_normal(
        np.zeros(len(rows)), covariance, DRAWS, method="eigh", check_valid="ignore"
    )
    first, second = (list(side) for side in zip(*pairs, strict=True))
    error = np.sqrt(np.maximum(np.diag(covariance)[first] + np.diag(covariance)[second]
                               - 2 * covariance[first, second], 0))  # fmt: skip
    known = error > 1e-12
    if not known.any():
        return 0.0
    gaps = np.abs(drawn[:, first] - drawn[:, second])[:, known] / error[known]
    return float(np.quantile(gaps.max(axis=1), 1 - ALPHA))
