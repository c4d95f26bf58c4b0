"""95 % intervals of a rate: Wilson for wins, bootstrap for scores that know halves.

Works in fractions of 1. Knows nothing of verdicts: counts and scores come in, bounds come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

ALPHA = 0.05
DRAWS = 4000
"""Resamples of a bootstrap; an end of the interval moves by about 2 % of its width between seeds."""

Scores = NDArray[np.float64]
"""(seeds, prompts): 1, 0.5 or 0; NaN where there is no valid verdict."""


class Interval(NamedTuple):
    low: float
    high: float
    method: str


def wilson(wins: float, n: int) -> Interval:
    """Wilson's score interval of wins / n, with its centre at (p + z²/2n) / (1 + z²/n).

    RPO Table 1, 201 of 256: p = 0.785156, z²/n = 0.0150057, centre 0.792659 / 1.0150057 = 0.780941, half
    width 1.959964 · √(0.000658929 + 0.000014654) / 1.0150057 = 0.050116: 78.52 % lies in [73.08, 83.11].
    """
    bounds = np.asarray(proportion_confint(wins, n, alpha=ALPHA, method="wilson"), dtype=np.float64)
    low, high = bounds.clip(0, 1)
    return Interval(float(low), float(high), "wilson")


def bootstrap(scores: Scores, seed: int = 0, draws: int = DRAWS) -> Interval:
    """Percentile bootstrap of the mean score, by prompt; with several rows, by seed and prompt.

    Prompts are shared by the seeds, so both are drawn at once (the crossed, or «pigeonhole», bootstrap):
    drawing prompts for each seed alone would take the answers to one prompt for independent ones.
    Where all scores are equal a resample cannot differ, and Wilson's interval over the prompts stands in.
    """
    valid = scores[~np.isnan(scores)]
    if valid.min() == valid.max():
        prompts = int((~np.isnan(scores)).any(axis=0).sum())
        return wilson(float(valid[0]) * prompts, prompts)
    means = resampled_means([scores], seed, draws)[0]
    low, high = np.nanquantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(low), float(high), "bootstrap_prompts" if len(scores) == 1 else "bootstrap_seeds_prompts")


def resampled_means(tables: Sequence[Scores], seed: int, draws: int = DRAWS) -> list[NDArray[np.float64]]:
    """Mean score of each table in each of `draws` resamples.

    One draw of prompts serves all tables, seeds are drawn for each. All tables have the same
    prompts in the same order. A table of one seed keeps that seed.
    """
    rng = np.random.default_rng(seed)
    prompts = tables[0].shape[1]
    prompt_weights = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=draws).astype(np.float64)
    means = []
    for table in tables:
        seeds = len(table)
        seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
        sums = (prompt_weights @ np.nan_to_num(table).T * seed_weights).sum(axis=1)
        counts = (prompt_weights @ (~np.isnan(table)).T * seed_weights).sum(axis=1)
        means.append(np.divide(sums, counts, out=np.full(draws, np.nan), where=counts > 0))
    return means
