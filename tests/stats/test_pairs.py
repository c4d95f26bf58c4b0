"""Simultaneous intervals of all pairs, and ranks as intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, studentized_range
from scipy.stats import t as student

from prefrepro.stats.intervals import Estimates, mean_estimates, two_levels
from prefrepro.stats.pairs import Pair, all_pairs, ranks


def test_two_rows_are_one_pair_at_196() -> None:
    rng = np.random.default_rng(0)
    rows = [mean_estimates(rng.random((1, 100))) for _ in range(2)]
    (pair,) = all_pairs(rows)
    half = pair.high - pair.value
    assert half / two_levels(rows).total ** 0.5 == pytest.approx(norm.ppf(0.975), abs=0.03)


def test_rows_that_are_independent_have_tukeys_intervals() -> None:
    """Five means that share nothing: the largest |t| is a studentized range over √2."""
    moves = np.eye(5)
    pairs = all_pairs([Estimates(np.array([float(i)]), moves[i : i + 1]) for i in range(5)])
    expected = studentized_range.ppf(0.95, 5, np.inf) / 2**0.5
    assert len(pairs) == 10
    assert [(pair.high - pair.value) / 2**0.5 for pair in pairs] == pytest.approx([expected] * 10, abs=0.03)


def test_several_seeds_have_bonferronis_t() -> None:
    rng = np.random.default_rng(1)
    rows = [mean_estimates(rng.random((3, 50))) for _ in range(3)]
    for pair in all_pairs(rows):
        variance = two_levels([rows[pair.first], rows[pair.second]])
        most = student.ppf(1 - 0.05 / 6, variance.freedom)
        assert (pair.high - pair.value, pair.method) == (pytest.approx(most * variance.total**0.5), "bonferroni_t")


def test_rows_of_one_answer_have_no_width() -> None:
    rows = [mean_estimates(np.full((1, 9), 0.5)) for _ in range(2)]
    assert [(pair.low, pair.high) for pair in all_pairs(rows)] == [(0, 0)]


def test_ranks_by_hand() -> None:
    """Row 2 is above row 0; row 1 is told from neither."""
    pairs = [Pair(0, 1, -2, -5, 1, ""), Pair(0, 2, -6, -9, -3, ""), Pair(1, 2, -4, -7, 0.5, "")]
    assert ranks(3, pairs) == [(2, 3), (1, 3), (1, 2)]
