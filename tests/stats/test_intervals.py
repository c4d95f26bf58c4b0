"""Intervals against closed forms, statsmodels' and scipy's answers, and their own promise of 95 %."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from prefrepro.stats.intervals import bootstrap, resampled_means, wilson

Z = 1.959963984540054


def test_wilson_of_the_first_table() -> None:
    """201 of 256, the arithmetic of `wilson`'s docstring, each step written out."""
    low, high, method = wilson(201, 256)
    p, n = 201 / 256, 256
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert (round(100 * p, 2), round(100 * low, 2), round(100 * high, 2)) == (78.52, 73.08, 83.11)
    assert method == "wilson"


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_and_mirrors(count: tuple[int, int]) -> None:
    wins, n = count
    low, high, _ = wilson(wins, n)
    theirs = binomtest(wins, n).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    mirrored = wilson(n - wins, n)
    assert (1 - high, 1 - low) == pytest.approx((mirrored.low, mirrored.high), abs=1e-9)
    assert 0 <= low <= wins / n + 1e-12 and wins / n - 1e-12 <= high <= 1


def test_wilson_covers() -> None:
    rng = np.random.default_rng(7)
    for rate in (0.5, 0.785, 0.95):
        bounds = {wins: wilson(wins, 64) for wins in range(65)}
        hits = [bounds[int(w)].low <= rate <= bounds[int(w)].high for w in rng.binomial(64, rate, size=4000)]
        assert 0.92 < np.mean(hits) < 0.98


def test_bootstrap_covers() -> None:
    rng = np.random.default_rng(8)
    chances = np.array([0.25, 0.3, 0.45])
    mean = float(chances @ np.array([0, 0.5, 1]))
    hits = []
    for _ in range(300):
        low, high, _ = bootstrap(rng.choice([0, 0.5, 1], p=chances, size=(1, 80)), draws=400)
        hits.append(low <= mean <= high)
    assert 0.91 <= np.mean(hits) <= 0.99


def test_bootstrap_of_seeds_and_prompts_covers_where_seeds_differ() -> None:
    """The interval by prompt alone misses the spread between trainings; the crossed one does not."""
    rng = np.random.default_rng(9)
    hits, narrow_hits = [], []
    for _ in range(100):
        rates = np.clip(rng.normal(0.6, 0.08, size=(8, 1)), 0, 1)
        scores = (rng.random((8, 60)) < rates).astype(float)
        low, high, method = bootstrap(scores, draws=400)
        assert method == "bootstrap_seeds_prompts"
        hits.append(low <= 0.6 <= high)
        narrow = bootstrap(scores.reshape(1, -1), draws=400)
        narrow_hits.append(narrow.low <= 0.6 <= narrow.high)
    assert np.mean(hits) >= 0.88
    assert np.mean(narrow_hits) < np.mean(hits)


def test_bootstrap_width_follows_the_standard_error() -> None:
    """200 scores, half 0 and half 1: standard error 0.5 / √200 = 0.0354, so about 0.5 ± 0.0693."""
    low, high, method = bootstrap(np.array([[0.0, 1.0] * 100]))
    assert (low, high) == pytest.approx((0.5 - 0.0693, 0.5 + 0.0693), abs=0.008)
    assert method == "bootstrap_prompts"


def test_bootstrap_is_seeded_and_leaves_invalid_prompts_out() -> None:
    scores = np.array([[1.0, 0.0, 0.5, 1.0, 0.0, 1.0, np.nan, np.nan]])
    assert bootstrap(scores, seed=3) == bootstrap(scores, seed=3)
    assert bootstrap(scores, seed=3).low > 0
    means = resampled_means([scores], seed=3)[0]
    assert np.nanmean(means) == pytest.approx(3.5 / 6, abs=0.02)


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_equal_scores_do_not_claim_certainty(score: float) -> None:
    """20 wins of 20 resample to 100 % every time; Wilson's [83.9, 100] is the honest answer."""
    low, high, method = bootstrap(np.full((3, 20), score))
    assert (low, high) == wilson(20 * score, 20)[:2]
    assert method == "wilson" and high - low > 0.1


def test_resamples_of_two_tables_share_their_prompts() -> None:
    scores = np.random.default_rng(1).choice([0, 0.5, 1], size=(1, 50))
    first, second = resampled_means([scores, 1 - scores], seed=5)
    assert first + second == pytest.approx(np.ones_like(first))
