"""Ours against a printed number: worked ranges, and how often a perfect replication is called different."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.proportion import confint_proportions_2indep

from prefrepro.stats.intervals import refit_estimates, wilson
from prefrepro.stats.printed import of_counts, of_one, of_several


@pytest.mark.parametrize(
    ("printed", "n", "lowest", "highest"),
    [
        (78.52, 256, 71.09, 85.16),
        (72.26, 256, 64.45, 79.30),
        (28.52, 256, 21.09, 36.33),
        (15.00, 800, 11.75, 18.62),
        (67.78, 256, 59.77, 75.39),  # no count of 256
    ],
)
def test_what_is_consistent_with_a_printed_count(printed: float, n: int, lowest: float, highest: float) -> None:
    held = [100 * k / n for k in range(n + 1) if of_counts(k, printed / 100, n).status == "consistent"]
    assert (round(held[0], 2), round(held[-1], 2)) == (lowest, highest)
    assert len(held) == round((held[-1] - held[0]) / 100 * n) + 1, "no gap"


def test_counts_have_newcombes_interval() -> None:
    """Against statsmodels, and by hand: d - √((p₁ - l₁)² + (u₂ - p₂)²)."""
    found = of_counts(185, 201 / 256, 256)
    theirs = confint_proportions_2indep(185, 256, 201, 256, method="newcomb", compare="diff")
    assert found.value == -16 / 256
    assert found[1:] == pytest.approx([float(end) for end in theirs], abs=1e-9)
    (l1, _, _), (_, u2, _) = wilson(185, 256), wilson(201, 256)
    assert found.low == pytest.approx(-16 / 256 - np.hypot(185 / 256 - l1, u2 - 201 / 256))


def test_a_mean_is_held_against_as_uncertain_a_mean() -> None:
    """30 ± 1.5 against 33.5: d = -3.5 ± 1.96 · √2 · 1.5 = ± 4.16."""
    found = of_one(30, 1.5, 33.5)
    assert (found.value, found.high + 3.5) == pytest.approx((-3.5, float(norm.ppf(0.975)) * 2**0.5 * 1.5))
    assert found.status == "consistent" and of_one(30, 1.5, 35).status == "differs"


def test_several_seeds_by_hand() -> None:
    """Seeds 68, 70, 72 of 100 that move alike by a variance of 6: s² = 4, E = 0, V = 4/3 + 6, V_p = 4 + 6."""
    moves = np.tile([6**0.5, -(6**0.5)], 50)
    values = np.array([68.0, 70.0, 72.0])
    found = of_several(refit_estimates(values, values[:, None] + moves), 80.0, 6.0)
    both = 4 / 3 + 6 + 4 + 6
    freedom = both**2 * 2 / (4 * 4 / 3) ** 2
    assert found.high + 10 == pytest.approx(float(student.ppf(0.975, freedom)) * both**0.5)
    assert found.status == "differs"
