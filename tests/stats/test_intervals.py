"""Intervals against closed forms, statsmodels' and scipy's answers.

tests/bench/test_interval_coverage.py holds them to their 95 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from prefrepro.stats import intervals
from prefrepro.stats.intervals import DRAWS, Estimates, interval, mean_estimates, mean_interval, two_levels, wilson

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


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_and_mirrors(count: tuple[int, int]) -> None:
    wins, n = count
    low, high, _ = wilson(wins, n)
    theirs = binomtest(wins, n).proportion_ci(0.95, "wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    mirrored = wilson(n - wins, n)
    assert (1 - high, 1 - low) == pytest.approx((mirrored.low, mirrored.high), abs=1e-9)
    assert 0 <= low <= wins / n + 1e-12 and wins / n - 1e-12 <= high <= 1


def test_bootstrap_width_follows_the_standard_error() -> None:
    """200 scores, half 0.2 and half 0.8: standard error 0.3 / √200 = 0.0212, so about 0.5 ± 0.0416."""
    low, high, method = mean_interval(np.array([[0.2, 0.8] * 100]))
    assert (low, high) == pytest.approx((0.5 - 0.0416, 0.5 + 0.0416), abs=0.005)
    assert method == "bootstrap_prompts"


def test_wins_and_losses_of_one_seed_get_wilson() -> None:
    scores = np.array([[1.0, 0.0, 1.0, np.nan, 1.0]])
    assert mean_interval(scores) == wilson(3, 4)


def test_bootstrap_leaves_invalid_prompts_out_and_repeats() -> None:
    scores = np.array([[1.0, 0.0, 0.5, 1.0, 0.0, 1.0, np.nan, np.nan]])
    found = mean_estimates(scores)
    assert found.value == pytest.approx(3.5 / 6)
    assert found.replicates.mean() == pytest.approx(3.5 / 6, abs=0.02)
    assert np.array_equal(found.replicates, mean_estimates(scores).replicates)


def test_a_resample_without_a_valid_prompt_says_nothing_new() -> None:
    found = mean_estimates(np.array([[0.7, np.nan, np.nan, np.nan]]))
    assert found.replicates == pytest.approx(np.full((1, DRAWS), 0.7))


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_equal_scores_do_not_claim_certainty(score: float) -> None:
    """20 wins of 20 resample to 100 % every time; Wilson's [83.9, 100] is the honest answer."""
    low, high, method = mean_interval(np.full((3, 20), score))
    assert (low, high) == wilson(20 * score, 20)[:2]
    assert method == "wilson" and high - low > 0.1


def test_resamples_of_two_tables_share_their_prompts() -> None:
    scores = np.random.default_rng(1).choice([0, 0.5, 1], size=(1, 50))
    first, second = (mean_estimates(table).replicates for table in (scores, 1 - scores))
    assert first + second == pytest.approx(np.ones_like(first))


def test_two_levels_by_hand() -> None:
    """Seeds at 0.5 and 0.7, replicates that move together by 0.1, 0, -0.1: no noise of single answers.

    A = var(0.5, 0.7) / 2 = 0.02 / 2 = 0.01; C = var(0.7, 0.6, 0.5) = 0.01; E = 0. Variance 0.02, t with
    0.02² / (0.01² / 1) = 4 degrees of freedom: 0.6 ± 2.776445 · 0.141421.
    """
    values, moves = np.array([0.5, 0.7]), np.array([0.1, 0, -0.1])
    row = Estimates(values, values[:, None] + moves)
    assert two_levels([row]) == pytest.approx((0.02, 4))
    assert interval(row) == pytest.approx((0.6 - 2.776445 * 0.02**0.5, 0.6 + 2.776445 * 0.02**0.5), abs=1e-6)


def test_two_levels_of_a_difference_by_hand() -> None:
    """Against a row of one seed that moves alike: the prompts cancel, and the spread of the seeds is left."""
    values, moves = np.array([0.5, 0.7]), np.array([0.1, 0, -0.1])
    row, other = Estimates(values, values[:, None] + moves), Estimates(np.array([0.4]), 0.4 + moves[None])
    assert two_levels([row, other]) == pytest.approx((0.01, 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_two_levels_are_never_below_one(seeds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.random((seeds, 30)) < rng.random(30)).astype(float)
    row = mean_estimates(scores, draws=200)
    variance, freedom = two_levels([row])
    assert variance >= row.replicates.mean(axis=0).var(ddof=1) and variance >= row.values.var(ddof=1) / seeds
    assert freedom >= seeds - 1


def test_a_set_too_large_for_kept_resamples_is_resampled_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other draws of the same distribution, the same for every table of so many prompts."""
    scores = np.random.default_rng(3).uniform(size=(2, 400))
    scores[1, 7] = np.nan
    kept = intervals.mean_estimates(scores)
    monkeypatch.setattr(intervals, "AT_ONCE", 0)
    intervals._mean_estimates.cache_clear()
    drawn, other = intervals.mean_estimates(scores), intervals.mean_estimates(scores + 0.25)
    intervals._mean_estimates.cache_clear()
    assert drawn.values.tolist() == kept.values.tolist()
    assert drawn.replicates.shape == kept.replicates.shape
    assert drawn.replicates.std(axis=1) == pytest.approx(kept.replicates.std(axis=1), rel=0.06)
    assert drawn.replicates.mean(axis=1) == pytest.approx(kept.values, abs=0.001)
    np.testing.assert_allclose(other.replicates - drawn.replicates, 0.25)
    assert len(np.unique(drawn.replicates[0])) > 3900
