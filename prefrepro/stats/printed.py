"""Is a number of ours consistent with a printed one? The printed number was measured on prompts too, once.

Works on numbers alone, shares of 1 or percent as they come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from prefrepro.stats.intervals import ALPHA, Estimates, two_levels, wilson

HUNDREDTH = 0.01 / 100
"""A printed percentage of two decimals, rounded or cut, is at most so far from its count."""


class Gap(NamedTuple):
    """Ours less the printed number, with its 95 % interval: of a perfect replication it holds 0 in 95 %."""

    value: float
    low: float
    high: float

    @property
    def status(self) -> str:
        return "consistent" if self.low <= 0 <= self.high else "differs"


def of_counts(wins: float, printed: float, n: int) -> Gap:
    """Wins of n against a printed share of n: Newcombe's interval from both Wilson intervals (1998, method 10).

    The printed share is taken for the whole count that prints as it, or for `printed · n` where there is none.
    """
    count = round(printed * n)
    theirs = count if abs(count / n - printed) <= HUNDREDTH else printed * n
    p1, p2 = wins / n, theirs / n
    (low1, high1, _), (low2, high2, _) = wilson(wins, n), wilson(theirs, n)
    low = float(np.hypot(p1 - low1, high2 - p2))
    high = float(np.hypot(high1 - p1, p2 - low2))
    return Gap(p1 - printed, p1 - p2 - low, p1 - p2 + high)


def of_one(value: float, error: float, printed: float) -> Gap:
    """A mean or a fitted number of one training, with its standard error: the printed one is taken to have the same."""
    half = float(norm.ppf(1 - ALPHA / 2)) * 2**0.5 * error
    return Gap(value - printed, value - printed - half, value - printed + half)


def of_several(ours: Estimates, printed: float, once: float) -> Gap:
    """The mean of S trainings against a printed number that is of one training, which varied as ours do.

    `once`: variance of one training's number over prompts, p(1 - p) / n of wins. d ± t_f · √(V + V_p), with V_p =
    max(0, s² - S·E) + once, s² between the seeds' values, E the answers' noise, and
    f = (V + V_p)² (S - 1) / (s² (1 + 1/S))².
    """
    seeds = len(ours.values)
    variance = two_levels([ours])
    spread = variance.seeds * seeds
    both = variance.total + max(0.0, spread - variance.noise * seeds) + once
    freedom = both**2 * (seeds - 1) / (spread * (1 + 1 / seeds)) ** 2 if spread > 0 else np.inf
    half = float(student.ppf(1 - ALPHA / 2, freedom)) * both**0.5
    return Gap(ours.value - printed, ours.value - printed - half, ours.value - printed + half)
