"""Tests between two rows of a table that answered the same prompts. Works on numbers, in whatever unit they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from prefrepro.stats.intervals import ALPHA, Estimates, Scores, is_wins, mean_estimates, two_levels

ONE_SEED = ("tango", "t_prompts", "t_refit")
"""Methods of a difference between two trainings; the others are between methods, over seeds."""
STEPS = 50
"""Halvings of a search for the end of an interval: to 1e-15."""


class Difference(NamedTuple):
    """One row's number less its baseline's, over the prompts that both are counted on."""

    value: float
    ci_low: float
    ci_high: float
    p: float
    method: str
    """How the interval came about: `tango`, with the exact McNemar p; `t_…`, with the p of the same Student's t."""
    n: int
    inner_low: float
    inner_high: float
    """90 % interval: of two one-sided tests at 5 %."""

    def equivalence(self, margin: float) -> str:
        """equivalent: two one-sided tests put it within ± margin; else different, p < 0.05; else undetermined."""
        if -margin < self.inner_low and self.inner_high < margin:
            return "equivalent"
        return "different" if self.p < ALPHA else "undetermined"

    def scaled(self, unit: float) -> Difference:
        """The same in another unit."""
        names = ("value", "ci_low", "ci_high", "inner_low", "inner_high")
        return self._replace(**{name: unit * getattr(self, name) for name in names})


def spread_limit(value: float, low: float, high: float) -> float:
    """Standard deviation between trainings from which on a difference of two trainings says nothing about methods.

    √(max(0, (d / 1.96)² - SE²) / 2): d would be 1.96 standard errors if both trainings varied by so much. 8 points
    with a standard error of 3: √((16.66 - 9) / 2) = 1.96.
    """
    z = float(norm.ppf(1 - ALPHA / 2))
    error = (high - low) / (2 * z)
    return (max(0.0, (value / z) ** 2 - error**2) / 2) ** 0.5


def mcnemar_exact(wins: NDArray[np.bool_], baseline_wins: NDArray[np.bool_]) -> float:
    """Two-sided exact McNemar p over the same prompts: a fair coin on the prompts where the two differ.

    8 prompts won by the first alone, 2 by the second alone: p = 2 · (1 + 10 + 45) / 2¹⁰ = 0.109375.
    """
    only_first = int((wins & ~baseline_wins).sum())
    only_second = int((~wins & baseline_wins).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def tango(only_first: int, only_second: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Score interval of the difference of two paired proportions, (only_first - only_second) / n.

    Tango 1998, Stat. Med. 17:891: the differences that the score test with the likelihood's best nuisance parameter
    does not reject. At no discordant pair of 20 it is ± z² / (20 + z²) = ± 0.161.
    """
    z = float(norm.ppf(1 - alpha / 2))
    gap = only_first - only_second

    def score(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        b = -only_first - only_second + (2 * n - gap) * shift
        c = -only_second * shift * (1 - shift)
        only = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
        variance = n * (2 * only + shift * (1 - shift))
        return (gap - n * shift) / np.sqrt(np.maximum(variance, 1e-300))

    ends = np.array([[-1.0, gap / n], [gap / n, 1.0]])
    for _ in range(STEPS):
        middle = ends.mean(axis=1)
        is_above = score(middle) > np.array([z, -z])
        ends = np.where(np.stack([is_above, ~is_above], axis=1), np.stack([middle, middle], axis=1), ends)
    low, high = ends.mean(axis=1)
    return float(low), float(high)


def compare_scores(scores: Scores, baseline: Scores) -> Difference:
    """Difference of two (seeds, prompts) tables over the same prompts.

    One seed of wins and losses each: Tango's interval and the exact McNemar p. Otherwise Student's t, on two levels
    where either side has several seeds.
    """
    n = scores.shape[1]
    if len(scores) == len(baseline) == 1 and is_wins(scores) and is_wins(baseline):
        known = ~np.isnan(scores[0] + baseline[0])
        own, other = scores[0][known] == 1, baseline[0][known] == 1
        counts = int((own & ~other).sum()), int((~own & other).sum()), int(known.sum())
        value = (counts[0] - counts[1]) / counts[2]
        ends, inner = tango(*counts), tango(*counts, alpha=2 * ALPHA)
        return Difference(value, *ends, mcnemar_exact(own, other), "tango", counts[2], *inner)
    found = compare_estimates(mean_estimates(scores), mean_estimates(baseline), n)
    return found._replace(method="t_prompts" if found.method == "t_refit" else "t_seeds_prompts")


def compare_estimates(own: Estimates, baseline: Estimates, n: int) -> Difference:
    """Difference of two values over the same n prompts, by Student's t; several seeds: on two levels.

    Where all prompts move both alike there is no variance, and p is the exact sign test's, 2 / 2ⁿ.
    """
    value, variance = own.value - baseline.value, two_levels([own, baseline])
    is_one = len(own.values) == len(baseline.values) == 1
    freedom = max(1, n - 1) if is_one else variance.freedom
    error = (variance.total * (n / freedom if is_one else 1)) ** 0.5
    half, inner = (float(student.ppf(level, freedom)) * error for level in (1 - ALPHA / 2, 1 - ALPHA))
    # Without the tolerance the rounding error of a mean would be a difference.
    if abs(value) < 1e-12:
        p = 1.0
    else:
        p = 2 * float(student.sf(abs(value) / error, freedom)) if error > 1e-12 else min(1.0, 2.0 ** (1 - n))
    method = "t_refit" if is_one else "t_seeds_refit"
    return Difference(value, value - half, value + half, p, method, n, value - inner, value + inner)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p values in the order given; an absent one stays absent and does not count.

    The smallest of m times m, the next times m - 1, …, none below its predecessor: as statsmodels' multipletests,
    which collects garbage at every call, a quarter of a second beside torch.
    """
    present = np.array([p for p in p_values if p is not None], dtype=np.float64)
    order = np.argsort(present, kind="stable")
    adjusted = np.empty_like(present)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(present[order] * np.arange(len(present), 0, -1)))
    in_order = iter(adjusted.tolist())
    return [None if p is None else next(in_order) for p in p_values]
