"""Prompts of one topic or source are alike: the variance clustered by them over the one over prompts.

docs/statistics.md says what the reported intervals mean beside that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from prefrepro.stats.intervals import Estimates

NOTABLE = 1.5
"""A design effect above this is told beside the table."""


class Clusters(NamedTuple):
    n_clusters: int
    design_effect: float
    """Variance over clusters / variance over prompts; 1 where topics do not matter."""


def clusters(of: Estimates, prompts: list[str], groups: Mapping[str, str]) -> Clusters | None:
    """Cluster-robust variance of a mean over its plain one, both over what prompts add to it (`of.moves`, by prompt).

    With G clusters of N prompts, G / (G - 1) · Σ_g (Σ_i m_i)² over N / (N - 1) · Σ_i m_i²: the sandwich with the
    small-cluster correction of Stata and statsmodels (CR1; Cameron & Miller 2015, J. Human Resources 50:317, II.B).
    With few clusters it is still noisy: a ratio of 5 clusters has 4 degrees of freedom above the line. None where some
    prompt has no group, all have one, or the scores do not vary.
    """
    names = [groups.get(prompt) for prompt in prompts]
    moves = of.moves.mean(axis=0)
    plain = float(moves @ moves) * len(moves) / max(len(moves) - 1, 1)
    if None in names or plain <= 0:
        return None
    known, place = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    if len(known) < 2:
        return None
    sums = np.bincount(place, moves)
    return Clusters(len(known), float(sums @ sums) * len(known) / (len(known) - 1) / plain)
