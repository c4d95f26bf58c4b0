"""Prompts of one topic or source are alike: the variance clustered by them over the one over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prefrepro.stats.intervals import Estimates

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
