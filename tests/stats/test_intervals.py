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

from prefrepro.stats.intervals import (
    Estimates,
    mean_estimates,
    mean_interval,
    refit_estimates,
    score_interval,
    two_levels,
    wilson,
)

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


def test_nothing_but_wins_reach_one_and_nothing_but_losses_zero() -> None:
    """Rounding once left wilson(96, 96).high below 1, and so the value outside of its own interval."""
    assert [wilson(n, n).high for n in range(1, 1000)] == [1.0] * 999
    assert [wilson(0, n).low for n in range(1, 1000)] == [0.0] * 999


def test_width_follows_the_standard_error() -> None:
    """200 scores, half 0.2 and half 0.8: standard error 0.3 / √200 = 0.0212, so about 0.5 ± 0.0416."""
    low, high, method = mean_interval(np.array([[0.2, 0.8] * 100]))
    assert (low, high) == pytest.approx((0.5 - 0.0416, 0.5 + 0.0416), abs=0.0005)
    assert method == "wilson_prompts"


def test_halves_have_the_interval_of_as_many_prompts_as_their_variance_is_worth() -> None:
    """50 wins, 100 halves and 50 losses: variance 0.125 a prompt, half that of a win, so 400 prompts' worth."""
    low, high, _ = mean_interval(np.array([[1.0] * 50 + [0.5] * 100 + [0.0] * 50]))
    assert (low, high) == pytest.approx(wilson(200, 400)[:2])


def test_wins_and_losses_of_one_seed_get_wilson() -> None:
    scores = np.array([[1.0, 0.0, 1.0, np.nan, 1.0]])
    assert mean_interval(scores) == wilson(3, 4)


def test_invalid_prompts_are_left_out_of_value_and_variance() -> None:
    scores = np.array([[1.0, 0.0, 0.5, 1.0, 0.0, 1.0, np.nan, np.nan]])
    found, valid = mean_estimates(scores), mean_estimates(scores[:, :6])
    assert found.value == pytest.approx(3.5 / 6)
    assert (found.moves @ found.moves.T).item() == pytest.approx((valid.moves @ valid.moves.T).item())
    assert (valid.moves @ valid.moves.T).item() == pytest.approx(scores[0, :6].var() / 6)


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_equal_scores_do_not_claim_certainty(score: float) -> None:
    """20 wins of 20 resample to 100 % every time; Wilson's [83.9, 100] is the honest answer."""
    low, high, method = mean_interval(np.full((3, 20), score))
    assert (low, high) == wilson(20 * score, 20)[:2]
    assert method == "wilson" and high - low > 0.1


def test_moves_of_a_mean_are_what_resampling_its_prompts_gives() -> None:
    """Covariances of two rows over the same prompts, against 20,000 resamples: known to 1 %."""
    rng = np.random.default_rng(1)
    first, second = rng.random(60), rng.random(60)
    second = (first + second) / 2
    drawn = rng.integers(60, size=(20_000, 60))
    resampled = np.cov(first[drawn].mean(axis=1), second[drawn].mean(axis=1))
    moves = mean_estimates(np.stack([first, second])).moves
    assert moves @ moves.T == pytest.approx(resampled, rel=0.04)


def seeds_that_move_alike(*values: float) -> Estimates:
    """Refits that move together by 0.1, 0, -0.1: a variance over prompts of 0.02 / 3, no noise of single answers."""
    at = np.array(values)
    return refit_estimates(at, at[:, None] + np.array([0.1, 0, -0.1]))


def test_two_levels_by_hand() -> None:
    """Seeds at 0.5 and 0.7: A = 0.02 / 2 = 0.01; C = 0.02 / 3 = 0.00667; E = 0.

    Variance 0.016667, t with 0.016667² / (0.01² / 1) = 2.7778 degrees of freedom.
    """
    found = two_levels([seeds_that_move_alike(0.5, 0.7)])
    assert found == pytest.approx((0.01 + 0.02 / 3, (0.01 + 0.02 / 3) ** 2 / 0.01**2, 0.01, 0))


def test_two_levels_of_a_difference_by_hand() -> None:
    """Against three seeds that move alike the prompts cancel: 0.02 / 2 + 0.01 / 3, degrees of freedom by
    Satterthwaite."""
    rows = [seeds_that_move_alike(0.5, 0.7), seeds_that_move_alike(0.4, 0.5, 0.6)]
    total = 0.01 + 0.01 / 3
    assert two_levels(rows) == pytest.approx((total, total**2 / (0.01**2 + (0.01 / 3) ** 2 / 2), total, 0))


def test_a_row_of_one_seed_is_lent_the_spread_of_the_other() -> None:
    """s² = 0.02: 0.02 · (1/2 + 1), on the one degree of freedom that it was measured with."""
    rows = [seeds_that_move_alike(0.5, 0.7), seeds_that_move_alike(0.4)]
    assert two_levels(rows) == pytest.approx((0.03, 1, 0.03, 0))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_two_levels_are_never_below_one(seeds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.random((seeds, 30)) < rng.random(30)).astype(float)
    row = mean_estimates(scores)
    variance, freedom, *_ = two_levels([row])
    variance *= 1 + 1e-9
    assert variance >= (row.moves.mean(axis=0) ** 2).sum() and variance >= row.values.var(ddof=1) / seeds
    assert freedom >= seeds - 1 - 1e-9


def test_a_score_interval_without_variance_is_its_value() -> None:
    assert score_interval(refit_estimates(np.array([0.5]), np.full((1, 20), 0.5))) == (0.5, 0.5)
