"""Prompts of one topic or source are alike: the variance clustered by them over the one over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrepro.stats.intervals import Estimates, score_interval, wilson

NOTABLE = 1.5
"""A design effect above this is told beside the table."""


def clusters(of: Estimates, prompts: Sequence[str], groups: Mapping[str, str]) -> tuple[int, float] | None:
    """Number of clusters G and design effect of a mean, from what each prompt adds to it (`of.moves`, m).

    G / (G - 1) · Σ_g (Σ_i m_i)² over N / (N - 1) · Σ_i m_i²: the sandwich estimator with its small-cluster correction
    (CR1; Cameron & Miller 2015, J. Human Resources 50:317, section II.B). None where a prompt has no group, all have
    the same, or the scores do not vary.
    """
    names = [groups.get(prompt) for prompt in prompts]
    moves = of.moves.mean(axis=0)
    if None in names or len(set(names)) < 2 or not moves.any():
        return None
    known, place = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    sums, n = np.bincount(place, moves), len(moves)
    return len(known), float((sums @ sums) * len(known) / (len(known) - 1) / ((moves @ moves) * n / (n - 1)))


def clustered_mean(scores: NDArray[Any], groups: NDArray[Any]) -> tuple[float, float, float]:
    """Mean of scores in 0..1, or of flags, with its 95 % interval over groups: two of one group are no two of them."""
    _, place = np.unique(groups.astype(str), return_inverse=True)
    value, weight = float(scores.mean()), np.bincount(place) / len(scores)
    if not 0 < value < 1:
        low, high, _ = wilson(value * len(weight), len(weight))
        return value, low, high
    moves = np.bincount(place, scores) / len(scores) - value * weight
    return value, *score_interval(Estimates(np.array([value]), moves[None]))


def clustered_difference(own: NDArray[Any], other: NDArray[Any], groups: NDArray[Any]) -> tuple[float, float, float]:
    """Mean of `own` less that of `other`, scores in 0..1 of the same things, with its 95 % interval over groups."""
    halves = clustered_mean((1.0 + own - other) / 2, groups)
    value, low, high = (2 * one - 1 for one in halves)
    return value, low, high
