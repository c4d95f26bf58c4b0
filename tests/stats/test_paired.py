"""Paired tests against hand-computed cases and statsmodels.

tests/bench/test_interval_coverage.py holds them to their level.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from prefrepro.stats.intervals import Estimates
from prefrepro.stats.paired import compare_estimates, compare_scores, holm, mcnemar_exact, normal_p


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


def test_paired_bootstrap_of_a_constant_gap() -> None:
    """Each prompt is a quarter better, so each resample is: no spread, p as small as 4,000 draws allow."""
    base = np.array([[0.0, 0.5] * 30])
    found = compare_scores(base + 0.25, base)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.p == pytest.approx(2 / 4001)
    seeds = compare_scores(np.repeat(base + 0.25, 2, axis=0), np.repeat(base, 3, axis=0))
    assert (seeds.value, seeds.ci_low, seeds.p) == pytest.approx((0.25, 0.25, 2 / 4001))


@pytest.mark.parametrize("seeds", [1, 3])
def test_equals_are_certain_of_nothing(seeds: int) -> None:
    scores = np.random.default_rng(2).choice([0, 0.5, 1], size=(seeds, 40))
    assert compare_scores(scores, scores).p == 1.0


def test_wins_and_losses_of_one_seed_get_mcnemar() -> None:
    own, other = (side.astype(float)[None] for side in wins(100, 8, 2, 50))
    found = compare_scores(own, other)
    assert (found.p, found.method, found.n) == (pytest.approx(2 * 56 / 1024), "mcnemar_exact", 160)
    assert found.value == pytest.approx(6 / 160)
    assert compare_scores(own, np.where(other == 1, 0.9, 0)).method == "paired_bootstrap"


@pytest.mark.parametrize(("own_seeds", "other_seeds"), [(2, 1), (1, 3), (3, 3)])
def test_several_seeds_compare_on_two_levels(own_seeds: int, other_seeds: int) -> None:
    rng = np.random.default_rng(4)
    own, other = ((rng.random((k, 200)) < p).astype(float) for k, p in ((own_seeds, 0.9), (other_seeds, 0.4)))
    found = compare_scores(own, other)
    assert found.method == "paired_bootstrap_seeds_prompts"
    assert found.p < 0.05 and found.ci_low > 0 and found.n == 200
    back = compare_scores(other, own)
    assert (back.value, back.p, back.ci_low) == pytest.approx((-found.value, found.p, -found.ci_high))


def test_the_spread_of_the_seeds_costs_certainty() -> None:
    """Seeds at 40 and 80 % against 50 %: of one average they differ by 10 points, of their spread by nothing."""
    base = np.repeat([1.0, 0.0], 100)[None]
    near, far = (np.stack([np.repeat([1.0, 0.0], [k, 200 - k]) for k in pair]) for pair in ((118, 122), (80, 160)))
    assert compare_scores(near, base).p < 0.05 < compare_scores(far, base).p


def test_normal_p_by_hand() -> None:
    """A difference of 2 with replicates that spread by 1: 2 · (1 - Φ(2)) = 0.0455003."""
    own = Estimates(np.array([3.0]), np.array([[2.0, 3.0, 4.0]]))
    base = Estimates(np.array([1.0]), np.array([[1.0, 1.0, 1.0]]))
    assert normal_p(compare_estimates(own, base, 5), own, base) == pytest.approx(0.0455003, abs=1e-6)
    assert normal_p(compare_estimates(base, base, 5), base, base) == 1.0
