"""95 % intervals of a number of one row: Wilson's score interval, over prompts and, with several trainings, seeds.

Works on numbers alone, in whatever unit they come. docs/statistics.md says how often each interval covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

ALPHA = 0.05

Scores = NDArray[np.float64]
"""(seeds, prompts): 0..1; NaN where there is no valid verdict."""
Vector = NDArray[np.float64]


class Interval(NamedTuple):
    low: float
    high: float
    method: str


class Estimates(NamedTuple):
    """What one row of a table measured, once per training seed."""

    values: Vector
    """(seeds,)"""
    moves: Vector
    """(seeds, columns): how the value moves with the prompts drawn. `a @ b` of two seeds, or of seeds of two rows over
    the same prompts, is the covariance of their values."""

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())


class Variance(NamedTuple):
    """Variance of one row's value, or of the difference of two."""

    total: float
    freedom: float
    """Degrees of freedom of Student's t; infinite where every row has one seed."""
    seeds: float
    """Variance of the value between trainings, answers' noise included: s² / S of one row."""
    noise: float
    """The part of `seeds` that is the noise of single answers, also in the variance over prompts."""


def wilson(wins: float, n: float, z: float | None = None) -> Interval:
    """Wilson's score interval of wins / n, with its centre at (p + z²/2n) / (1 + z²/n); z is 1.96 unless given.

    RPO Table 1, 201 of 256: p = 0.785156, z²/n = 0.0150057, centre 0.792659 / 1.0150057 = 0.780941, half
    width 1.959964 · √(0.000658929 + 0.000014654) / 1.0150057 = 0.050116: 78.52 % lies in [73.08, 83.11].
    """
    alpha = ALPHA if z is None else 2 * float(norm.sf(z))
    low, high = np.asarray(proportion_confint(wins, n, alpha=alpha, method="wilson"), dtype=np.float64).tolist()
    return Interval(max(0.0, low) if wins > 0 else 0.0, min(1.0, high) if wins < n else 1.0, "wilson")


def mean_estimates(scores: Scores) -> Estimates:
    """Mean score of each seed; moves of a mean are each prompt's distance from it, over the number of prompts."""
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    values = np.nansum(scores, axis=1) / counts
    return Estimates(values, np.where(known, scores - values[:, None], 0.0) / counts[:, None])


def refit_estimates(values: Vector, replicates: Vector) -> Estimates:
    """Fitted numbers (seeds,) and their refits (seeds, draws); draw b used the same prompts for every seed and row."""
    return Estimates(values, (replicates - replicates.mean(axis=1, keepdims=True)) / replicates.shape[1] ** 0.5)


def is_wins(scores: Scores) -> bool:
    """Whether every valid score is a win or a loss."""
    return bool(np.isin(scores[~np.isnan(scores)], (0, 1)).all())


def mean_interval(scores: Scores) -> Interval:
    """Interval of the mean score: Wilson's; of one seed of wins and losses it is the plain one.

    Where all scores are equal they have no variance, and Wilson's interval over the prompts stands in; of scores in
    0..1 it is the widest that a mean can ask for, since none vary more than wins and losses do.
    """
    known = ~np.isnan(scores)
    estimates = mean_estimates(scores)
    prompts = int(known.any(axis=0).sum())
    if (len(scores) == 1 and is_wins(scores)) or not estimates.moves.any():
        return wilson(estimates.value * prompts, prompts)
    most = int(known.sum()) if is_wins(scores) else np.inf
    low, high = score_interval(estimates, most)
    return Interval(low, high, "wilson_prompts" if len(scores) == 1 else "wilson_seeds_prompts")


def score_interval(of: Estimates, most: float = np.inf) -> tuple[float, float]:
    """Wilson's interval of a value in 0..1, of as many prompts as would give wins and losses its variance.

    That is p(1 - p) / variance, at most `most`, with z from Student's t (Korn & Graubard 1998, Survey Methodology
    24:193; Franco et al. 2019, JSSAM 7:334). It keeps within 0 and 1 and covers near them, where value ± t · √variance
    does not. A value without variance is its own interval.
    """
    p, variance = of.value, two_levels([of])
    if variance.total <= 0:
        return p, p
    if not 0 < p < 1:
        half = float(student.ppf(1 - ALPHA / 2, variance.freedom)) * variance.total**0.5
        return max(0.0, p - half), min(1.0, p + half)
    n = min(p * (1 - p) / variance.total, most)
    return wilson(p * n, n, float(student.ppf(1 - ALPHA / 2, variance.freedom)))[:2]


def two_levels(rows: Sequence[Estimates]) -> Variance:
    """Variance of one row's value, or of the difference of two, over trainings and prompts.

    Trainings and prompts are crossed: every training answers the same prompts. With A = variance of the seeds'
    values / seeds, C = variance over prompts and E = their common part, the noise of single answers, the variance is
    A + C - E, but neither less than A nor than C; t has the degrees of freedom of Satterthwaite with the prompts' part
    taken for known, as in multi-reader studies (Hillis 2007, Stat. Med. 26:596, Eq. 12, readers = trainings, cases =
    prompts). A row of one seed beside a row of several is taken to differ between trainings as that one does; of rows
    of one seed each the trainings' part is not known and left out: they tell about these trainings only.
    """
    parts = [of.moves.mean(axis=0) for of in rows]
    joint = parts[0] - parts[1] if len(parts) == 2 else parts[0]
    prompts = float(joint @ joint)
    lent = sum(len(of.values) == 1 for of in rows)
    seeds = noise = squares = 0.0
    for values, moves in rows:
        many = len(values)
        if many == 1:
            continue
        share = 1 / many + lent
        own = float(np.var(values, ddof=1)) * share
        residuals = moves - moves.mean(axis=0)
        noise += float((residuals**2).sum()) / (many - 1) * share
        squares += own**2 / (many - 1)
        seeds += own
    total = max(seeds, prompts, seeds + prompts - noise)
    return Variance(total, total**2 / squares if squares > 0 else np.inf, seeds, noise)
