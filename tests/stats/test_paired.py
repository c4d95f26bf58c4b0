"""Paired tests against hand-computed cases, statsmodels, and what a null world must give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from prefrepro.stats.paired import compare, holm, mcnemar_exact, paired_bootstrap


def wins(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    own = np.repeat([True, True, False, False], [both, first, second, neither])
    return own, np.repeat([True, False, True, False], [both, first, second, neither])


def test_mcnemar_by_hand() -> None:
    """8 against 2: P(X ≤ 2 of 10 fair coins) = (1 + 10 + 45) / 1024, twice that is 0.109375."""
    assert mcnemar_exact(*wins(100, 8, 2, 50)) == pytest.approx(2 * 56 / 1024, abs=1e-12)
    assert mcnemar_exact(*wins(0, 6, 0, 0)) == pytest.approx(2 / 64, abs=1e-12)
    assert mcnemar_exact(*wins(30, 0, 0, 4)) == 1.0


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
    """Each prompt is half a point better, so each resample is: no spread, p as small as 4,000 draws allow."""
    base = np.array([[0.0, 0.5] * 30])
    found = paired_bootstrap(base + 0.5, base)
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.p == pytest.approx(2 / 4001)


def test_paired_bootstrap_of_equals_is_certain_of_nothing() -> None:
    scores = np.random.default_rng(2).choice([0, 0.5, 1], size=(1, 40))
    assert paired_bootstrap(scores, scores).p == 1.0


def test_paired_bootstrap_holds_its_level_and_interval() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(100):
        ease = rng.random(80)
        own, other = ((rng.random(80) < ease).astype(float)[None] for _ in range(2))
        found.append(paired_bootstrap(own, other))
    assert np.mean([one.p < 0.05 for one in found]) <= 0.10
    assert np.mean([one.ci_low <= 0 <= one.ci_high for one in found]) >= 0.90


def series(**scores: float) -> pd.Series:
    return pd.Series(scores, dtype=float)


def test_compare_uses_only_prompts_that_both_have() -> None:
    own = series(a=1, b=1, c=1, d=np.nan, e=0, only=1)
    base = series(a=0, b=0, c=np.nan, d=1, e=0)
    found = compare([own], [base], "paper")
    assert found is not None
    assert (found.n, found.method) == (3, "mcnemar_exact")
    assert found.p == pytest.approx(2 * 1 / 4)
    assert compare([series(a=1)], [series(b=1)], "paper") is None


def test_compare_paper_counts_a_tie_as_not_won() -> None:
    found = compare([series(a=1, b=0.5)], [series(a=0.5, b=0)], "paper")
    assert found is not None and found.value == pytest.approx(0.5)


@pytest.mark.parametrize(("protocol", "seeds"), [("robust", 1), ("paper", 2), ("robust", 3)])
def test_compare_elsewhere_is_the_paired_bootstrap(protocol: str, seeds: int) -> None:
    rng = np.random.default_rng(4)
    ids = [f"p{i}" for i in range(60)]
    own = [pd.Series(rng.choice([0, 1], p=[0.1, 0.9], size=60).astype(float), ids) for _ in range(seeds)]
    base = [pd.Series(rng.choice([0, 1], p=[0.7, 0.3], size=60).astype(float), ids[::-1])]
    found = compare(own, base, protocol)
    assert found is not None and found.method == "paired_bootstrap"
    assert found.p < 0.01 and found.ci_low > 0 and found.n == 60
