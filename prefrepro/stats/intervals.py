"""95 % intervals of a mean: Wilson for wins, bootstrap by prompt for scores, two levels for several trainings.

Works on numbers alone, in whatever unit they come. docs/statistics.md says how often each interval covers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

ALPHA = 0.05
DRAWS = 4000
"""Resamples of a bootstrap; an end of the interval moves by about 2 % of its width between seeds."""
AT_ONCE = 2**24
"""Weights of prompts in resamples that are kept: 128 MiB. Of a larger set each resample is drawn when it is wanted."""

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
    replicates: Vector
    """(seeds, draws): the same with other prompts; draw b used the same prompts for every seed and every row."""

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())


def wilson(wins: float, n: int) -> Interval:
    """Wilson's score interval of wins / n, with its centre at (p + z²/2n) / (1 + z²/n).

    RPO Table 1, 201 of 256: p = 0.785156, z²/n = 0.0150057, centre 0.792659 / 1.0150057 = 0.780941, half
    width 1.959964 · √(0.000658929 + 0.000014654) / 1.0150057 = 0.050116: 78.52 % lies in [73.08, 83.11].
    """
    bounds = np.asarray(proportion_confint(wins, n, alpha=ALPHA, method="wilson"), dtype=np.float64)
    low, high = bounds.clip(0, 1)
    return Interval(float(low), float(high), "wilson")


def mean_estimates(scores: Scores, draws: int = DRAWS) -> Estimates:
    """Mean score of each seed, and the same over `draws` resamples of the prompts.

    The resamples are seeded by the number of prompts alone, so that two tables of the same prompts in the same
    order are resampled alike: their differences are paired.
    """
    return _mean_estimates(np.ascontiguousarray(scores).tobytes(), scores.shape, draws)


@functools.lru_cache(maxsize=256)
def _mean_estimates(content: bytes, shape: tuple[int, int], draws: int) -> Estimates:
    """Of scores given by their bytes, and read only: a baseline is resampled once for all rows of its column."""
    scores = np.frombuffer(content, dtype=np.float64).reshape(shape)
    known = ~np.isnan(scores)
    values = np.array([seed[valid].mean() for seed, valid in zip(scores, known, strict=True)])
    wanted = [np.nan_to_num(scores)] if known.all() else [np.nan_to_num(scores), known.astype(np.float64)]
    parts = [[rows @ weights for rows in wanted] for weights in _resamples(scores.shape[1], draws)]
    sums, *counted = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    counts = counted[0] if counted else np.full_like(sums, scores.shape[1])
    # A resample without a valid prompt says nothing new.
    unchanged = np.repeat(values[:, None], draws, axis=1)
    replicates = np.divide(sums, counts, out=unchanged, where=counts > 0)
    for shared in (values, replicates):
        shared.setflags(write=False)
    return Estimates(values, replicates)


def mean_interval(scores: Scores, draws: int = DRAWS) -> Interval:
    """Interval of the mean score: Wilson for one seed of wins and losses, else the bootstrap.

    Where all scores are equal a resample cannot differ, and Wilson's interval over the prompts stands in; of
    scores in 0..1 it is the widest that a mean can ask for, since none vary more than wins and losses do.
    """
    known = ~np.isnan(scores)
    valid = scores[known]
    is_wins = len(scores) == 1 and bool(np.isin(valid, (0, 1)).all())
    if is_wins or valid.min() == valid.max():
        prompts = int(known.any(axis=0).sum())
        return wilson(float(valid.mean()) * prompts, prompts)
    low, high = interval(mean_estimates(scores, draws))
    return Interval(low, high, "bootstrap_prompts" if len(scores) == 1 else "bootstrap_seeds_prompts")


def interval(of: Estimates) -> tuple[float, float]:
    """One seed: percentiles of the replicates. Several: value ± t · √variance, both levels (`two_levels`)."""
    if len(of.values) == 1:
        low, high = np.quantile(of.replicates, [ALPHA / 2, 1 - ALPHA / 2])
        return float(low), float(high)
    variance, freedom = two_levels([of])
    half = float(student.ppf(1 - ALPHA / 2, freedom)) * variance**0.5
    return of.value - half, of.value + half


def two_levels(rows: Sequence[Estimates]) -> tuple[float, float]:
    """Variance of one row's value, or of the difference of two, over trainings and prompts; degrees of freedom.

    Trainings and prompts are crossed: every training answers the same prompts. With A = variance of the seeds'
    values / seeds, C = bootstrap variance by prompt and E = their common part, the noise of single answers,
    the variance is A + C - E, but neither less than A nor than C; t has the degrees of freedom of Satterthwaite
    with the prompts' part taken for known, as in multi-reader studies (Hillis 2007, Stat. Med. 26:596, Eq. 12,
    readers = trainings, cases = prompts). The pigeonhole bootstrap, which resamples seeds too, knows only S - 1
    of S seeds' spread and undercovers with few: docs/statistics.md. A row of one seed keeps that seed.
    """
    parts = [of.replicates.mean(axis=0) for of in rows]
    prompts = float(np.var(parts[0] - parts[1] if len(parts) == 2 else parts[0], ddof=1))
    trainings = noise = squares = 0.0
    for values, replicates in rows:
        seeds, draws = replicates.shape
        if seeds == 1:
            continue
        spread = float(np.var(values, ddof=1)) / seeds
        centred = replicates - replicates.mean(axis=1, keepdims=True) - replicates.mean(axis=0) + replicates.mean()
        noise += float((centred**2).sum()) / ((seeds - 1) * (draws - 1) * seeds)
        trainings += spread
        squares += spread**2 / (seeds - 1)
    variance = max(trainings, prompts, trainings + prompts - noise)
    return variance, variance**2 / squares if squares > 0 else np.inf


def _resamples(prompts: int, draws: int) -> Iterator[Vector]:
    """(prompts, some) weights of some resamples at a time, of all in the end: as many as fit into little memory."""
    if prompts * draws <= AT_ONCE:
        yield _prompt_weights(prompts, draws)
        return
    generator = np.random.default_rng(prompts)
    for _ in range(draws):
        picked = generator.integers(prompts, size=prompts, dtype=np.int32)
        yield np.bincount(picked, minlength=prompts).astype(np.float64)[:, None]


@functools.lru_cache(maxsize=4)
def _prompt_weights(prompts: int, draws: int) -> Vector:
    """(prompts, draws): how often each prompt is in each resample. Read only: shared by all that ask."""
    weights = np.random.default_rng(prompts).multinomial(prompts, np.full(prompts, 1 / prompts), size=draws)
    shared = np.ascontiguousarray(weights.T, dtype=np.float64)
    shared.setflags(write=False)
    return shared
