"""Tests between two rows of a table that answered the same prompts. Works in fractions of 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from prefrepro.stats.intervals import ALPHA, Scores, resampled_means


class Difference(NamedTuple):
    """Mean score of one side less that of the other, over the prompts that both have a valid verdict on."""

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


def paired_bootstrap(scores: Scores, baseline: Scores, seed: int = 0) -> Difference:
    """Difference of two (seeds, prompts) tables over the same prompts, both resampled with the same prompts.

    p is two-sided and counts the resamples on the far side of zero, (1 + k) / (draws + 1): never 0.
    """
    first, second = resampled_means([scores, baseline], seed)
    draws = (first - second)[~np.isnan(first - second)]
    low, high = np.quantile(draws, [ALPHA / 2, 1 - ALPHA / 2])
    # Without the tolerance a rounding error of a mean would put an exact zero on one side.
    tail = min(int((draws <= 1e-12).sum()), int((draws >= -1e-12).sum()))
    p = min(1.0, 2 * (1 + tail) / (len(draws) + 1))
    value = float(np.nanmean(scores) - np.nanmean(baseline))
    return Difference(value, float(low), float(high), p, "paired_bootstrap", scores.shape[1])


def compare(own: Sequence[pd.Series], baseline: Sequence[pd.Series], protocol: str) -> Difference | None:
    """Compare two rows given their scores by prompt id, one series per training seed.

    Protocol paper with one seed each: exact McNemar on wins (compare.py knows no halves). Otherwise the
    paired bootstrap. None where the two share no prompt that both have a valid verdict on.
    """
    left, right = pd.concat(own, axis=1), pd.concat(baseline, axis=1)
    shared = left.dropna(how="all").index.intersection(right.dropna(how="all").index).sort_values()
    if shared.empty:
        return None
    first, second = (side.loc[shared].to_numpy(dtype=np.float64).T for side in (left, right))
    if protocol == "paper":
        first, second = (np.where(np.isnan(side), np.nan, side == 1) for side in (first, second))
    difference = paired_bootstrap(first, second)
    if protocol == "paper" and len(own) == len(baseline) == 1:
        return difference._replace(p=mcnemar_exact(first[0] == 1, second[0] == 1), method="mcnemar_exact")
    return difference


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p values in the order given; an absent one stays absent and does not count."""
    present = [p for p in p_values if p is not None]
    adjusted = np.asarray(multipletests(present, alpha=ALPHA, method="holm")[1] if present else []).tolist()
    in_order = iter(adjusted)
    return [None if p is None else next(in_order) for p in p_values]
