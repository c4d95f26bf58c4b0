"""Paired tests against hand-computed cases and statsmodels.

tests/bench/test_interval_coverage.py holds them to their level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm, ttest_rel
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from prefrepro.stats.intervals import refit_estimates
from prefrepro.stats.paired import compare_estimates, compare_scores, holm, mcnemar_exact, spread_limit, tango


def wins(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    own = np.repeat([True, True, False, False], [both, first, second, neither])
    return own, np.repeat([True, False, True, False], [both, first, second, neither])


def test_mcnemar_by_hand() -> None:
    """8 against 2: P(X ≤ 2 of 10 fair coins) = (1 + 10 + 45) / 1024, twice that is 0.109375."""
    assert mcnemar_exact(*wins(100, 8, 2, 50)) == pytest.approx(2 * 56 / 1024, abs=1e-12)
    assert mcnemar_exact(*wins(0, 6, 0, 0)) == pytest.approx(2 / 64, abs=1e-12)
    assert mcnemar_exact(*wins(30, 0, 0, 4)) == 1.0


@settings(deadline=None)
@given(*[st.integers(0, 60)] * 4)
def test_mcnemar_agrees_with_statsmodels_and_has_no_side(a: int, b: int, c: int, d: int) -> None:
    own, other = wins(a, b, c, d)
    p = mcnemar_exact(own, other)
    if b + c:
        assert p == pytest.approx(float(vars(mcnemar([[a, b], [c, d]], exact=True))["pvalue"]), abs=1e-9)
    assert p == pytest.approx(mcnemar_exact(other, own), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_agrees_with_statsmodels_and_keeps_gaps(p_values: list[float | None]) -> None:
    adjusted = holm(p_values)
    present = [p for p in p_values if p is not None]
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    if present:
        expected = np.asarray(multipletests(present, method="holm")[1])
        assert [p for p in adjusted if p is not None] == pytest.approx(expected.tolist())


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling: 0.03, 0.04, 0.04."""
    assert holm([0.04, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04])


def score_by_search(only_first: int, only_second: int, n: int, shift: float) -> float:
    """Tango's statistic with the nuisance parameter found by maximising the likelihood, not by its closed form."""

    def loss(second: float) -> float:
        chances = second + shift, second, 1 - 2 * second - shift
        counts = only_first, only_second, n - only_first - only_second
        return -sum(k * np.log(max(q, 1e-300)) for k, q in zip(counts, chances, strict=True) if k)

    low, high = max(0.0, -shift), (1 - shift) / 2
    best: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    second = float(best.x)
    return (only_first - only_second - n * shift) / (n * (2 * second + shift - shift**2)) ** 0.5


@pytest.mark.parametrize("counts", [(12, 2, 50), (30, 14, 256), (5, 5, 20), (1, 9, 30), (3, 0, 256)])
def test_tango_ends_where_the_score_test_of_the_best_nuisance_parameter_does(counts: tuple[int, int, int]) -> None:
    low, high = tango(*counts)
    assert low < (counts[0] - counts[1]) / counts[2] < high
    z = float(norm.ppf(0.975))
    assert score_by_search(*counts, low) == pytest.approx(z, abs=1e-3)
    assert score_by_search(*counts, high) == pytest.approx(-z, abs=1e-3)
    assert tango(counts[1], counts[0], counts[2]) == pytest.approx((-high, -low))


def test_tango_without_a_discordant_pair_is_not_certain() -> None:
    """± z² / (n + z²): 20 pairs that agree leave a difference of 16 points open."""
    end = 3.841459 / 23.841459
    assert tango(0, 0, 20) == pytest.approx((-end, end), abs=1e-6)


def test_a_constant_gap_is_as_certain_as_its_prompts_are_many() -> None:
    """Each prompt is a quarter better: no variance, and the sign test's p, 2 / 2ⁿ."""
    base = np.array([[0.0, 0.5] * 30])
    found = compare_scores(base + 0.25, base)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.p == pytest.approx(2 / 2**60)
    assert compare_scores(base[:, :1] + 0.25, base[:, :1]).p == 1, "one prompt tells nothing"


@pytest.mark.parametrize("seeds", [1, 3])
def test_equals_are_certain_of_nothing(seeds: int) -> None:
    scores = np.random.default_rng(2).choice([0, 0.5, 1], size=(seeds, 40))
    assert compare_scores(scores, scores).p == 1.0


def test_wins_and_losses_of_one_seed_get_mcnemar_and_tango() -> None:
    own, other = (side.astype(float)[None] for side in wins(100, 8, 2, 50))
    found = compare_scores(own, other)
    assert (found.p, found.method, found.n) == (pytest.approx(2 * 56 / 1024), "tango", 160)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((6 / 160, *tango(8, 2, 160)))
    assert compare_scores(own, np.where(other == 1, 0.9, 0)).method == "t_prompts"


def test_scores_of_one_seed_get_the_paired_t_test() -> None:
    rng = np.random.default_rng(7)
    own, other = rng.random((2, 1, 50))
    gap = (own - other)[0]
    found = compare_scores(own, other)
    error = gap.std(ddof=1) / 50**0.5
    assert found.p == pytest.approx(float(np.asarray(ttest_rel(own[0], other[0])[1])))
    assert found.ci_high - found.value == pytest.approx(student.ppf(0.975, 49) * error)


@pytest.mark.parametrize(("own_seeds", "other_seeds"), [(2, 3), (3, 3), (5, 1), (1, 5)])
def test_several_seeds_compare_on_two_levels(own_seeds: int, other_seeds: int) -> None:
    rng = np.random.default_rng(4)
    own, other = ((rng.random((k, 200)) < p).astype(float) for k, p in ((own_seeds, 0.9), (other_seeds, 0.4)))
    found = compare_scores(own, other)
    assert found.method == "t_seeds_prompts"
    assert found.p < 0.05 and found.ci_low > 0 and found.n == 200
    back = compare_scores(other, own)
    assert (back.value, back.p, back.ci_low) == pytest.approx((-found.value, found.p, -found.ci_high))


def test_the_spread_of_the_seeds_costs_certainty() -> None:
    """Seeds at 40 and 80 % against 50 %: of one average they differ by 10 points, of their spread by nothing."""
    base = np.repeat(np.repeat([1.0, 0.0], 100)[None], 2, axis=0)
    near, far = (np.stack([np.repeat([1.0, 0.0], [k, 200 - k]) for k in pair]) for pair in ((118, 122), (80, 160)))
    assert compare_scores(near, base).p < 0.05 < compare_scores(far, base).p


def test_fitted_numbers_of_several_seeds_have_no_smallest_p() -> None:
    """60 against 10, ± 2 points: 200 refits once floored p at 2/201 = 0.00995, 0.0697 after Holm over 7 rows."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 200)
    own, other = (
        refit_estimates(np.array(at), np.array(at)[:, None] + shared + rng.normal(0, 0.3, (3, 200)))
        for at in ([59.5, 60.0, 60.5], [9.5, 10.0, 10.5])
    )
    found = compare_estimates(own, other, 805)
    assert found.value == pytest.approx(50) and found.ci_high - found.ci_low < 4.4
    assert found.p < 1e-5
    adjusted = holm([found.p, *[0.5] * 6])[0]
    assert adjusted is not None and adjusted < 0.0001


def test_the_spread_that_takes_a_difference_of_two_trainings_away() -> None:
    """8 points with a standard error of 3: √((8 / 1.96)² - 3²) / √2 = 1.957; 5 points are no difference at all."""
    half = 1.959964 * 3
    assert spread_limit(8, 8 - half, 8 + half) == pytest.approx(1.957, abs=0.001)
    assert spread_limit(5, 5 - half, 5 + half) == 0


@pytest.mark.parametrize(
    ("gap", "error", "word"),
    [(0.0, 2.0, "equivalent"), (0.0, 4.0, "undetermined"), (8.0, 2.0, "different"), (2.0, 0.5, "equivalent")],
)
def test_equivalence_is_two_one_sided_tests(gap: float, error: float, word: str) -> None:
    """Within ± 5: 0 ± 1.645 · 2 = ± 3.3 is, ± 6.6 is not; 2 ± 0.8 is too, though it is not 0."""
    moves = np.tile([error, -error], 200)[None]
    own, other = refit_estimates(np.array([gap]), gap + moves), refit_estimates(np.zeros(1), np.zeros((1, 400)))
    assert compare_estimates(own, other, 1000).equivalence(5.0) == word
