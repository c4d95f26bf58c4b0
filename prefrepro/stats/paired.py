"""Tests between two rows of a table that answered the same prompts. Works on numbers, in whatever unit they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from prefrepro.stats.intervals import ALPHA, DRAWS, Estimates, Scores, mean_estimates, two_levels


class Difference(NamedTuple):
    """One row's number less its baseline's, over the prompts that both have a valid verdict on."""

    value: float
    ci_low: float
    ci_high: float
    p: float
    method: str
    n: int


def mcnemar_exact(wins: NDArray[np.bool_], baseline_wins: NDArray[np.bool_]) -> float:
    """Two-sided exact McNemar p over the same prompts: a fair coin on the prompts where the two differ.

    8 prompts won by the first alone, 2 by the second alone: p = 2 · (1 + 10 + 45) / 2¹⁰ = 0.109375.
    """
    only_first = int((wins & ~baseline_wins).sum())
    only_second = int((~wins & baseline_wins).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def compare_scores(scores: Scores, baseline: Scores, draws: int = DRAWS) -> Difference:
    """Difference of two (seeds, prompts) tables over the same prompts.

    One seed of wins and losses each: exact McNemar, with the bootstrap's interval. Otherwise the paired
    bootstrap, of two levels where either side has several seeds.
    """
    n = scores.shape[1]
    difference = compare_estimates(mean_estimates(scores, draws), mean_estimates(baseline, draws), n)
    if len(scores) == len(baseline) == 1 and all(np.isin(side, (0, 1)).all() for side in (scores, baseline)):
        return difference._replace(p=mcnemar_exact(scores[0] == 1, baseline[0] == 1), method="mcnemar_exact")
    return difference


def compare_estimates(own: Estimates, baseline: Estimates, n: int) -> Difference:
    """Difference of two values whose replicates share their prompts, draw by draw.

    One seed each: percentiles of the replicates' differences; p counts those on the far side of zero,
    (1 + k) / (draws + 1), never 0. Several seeds: Student's t on the variance of both levels. A seed of one
    row has no partner in the other, even where both started from the same SFT model: that costs power, not
    level.
    """
    value = own.value - baseline.value
    floor = 2 / (own.replicates.shape[1] + 1)
    if len(own.values) == len(baseline.values) == 1:
        gaps = own.replicates[0] - baseline.replicates[0]
        low, high = np.quantile(gaps, [ALPHA / 2, 1 - ALPHA / 2])
        # Without the tolerance a rounding error of a mean would put an exact zero on one side.
        tail = min(int((gaps <= 1e-12).sum()), int((gaps >= -1e-12).sum()))
        return Difference(value, float(low), float(high), min(1.0, floor * (1 + tail)), "paired_bootstrap", n)
    variance, freedom = two_levels([own, baseline])
    half = float(student.ppf(1 - ALPHA / 2, freedom)) * variance**0.5
    if variance > 0:
        p = max(floor, 2 * float(student.sf(abs(value) / variance**0.5, freedom)))
    else:
        p = floor if abs(value) > 1e-12 else 1.0
    return Difference(value, value - half, value + half, p, "paired_bootstrap_seeds_prompts", n)


def normal_p(difference: Difference, own: Estimates, baseline: Estimates) -> float:
    """Two-sided normal p from the spread of the replicates' differences, of one seed each.

    For replicates that cost a refit each: a few hundred of them know their spread, but not a tail of 0.001.
    """
    spread = float(np.std(own.replicates[0] - baseline.replicates[0], ddof=1))
    if spread == 0:
        return 1.0 if abs(difference.value) <= 1e-12 else 2 / (own.replicates.shape[1] + 1)
    return 2 * float(norm.sf(abs(difference.value) / spread))


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
