"""Differences of printed rates against docs/judging.md#printed-differences."""

from __future__ import annotations

import math

import pytest

from prefrepro.studies.audit.differences import (
    detectable,
    p_value,
    prompts_for_equivalence,
    prompts_needed,
    smallest_significant,
)


def test_paired_rpo_against_dpo() -> None:
    """The headline of RPO Table 1: z = 0.0626 / √(0.7539 · 0.2461 · 2/256) = 1.644."""
    assert p_value(78.52, 72.26, 256) == pytest.approx(0.100, abs=0.0005)
    z = 0.0626 / math.sqrt(0.7539 * 0.2461 * 2 / 256)
    assert p_value(78.52, 72.26, 256) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=1e-6)
    assert prompts_needed(78.52, 72.26) == 739


@pytest.mark.parametrize(("n", "found"), [(256, 11.3), (805, 6.4)])
def test_what_can_be_found_near_70_percent(n: int, found: float) -> None:
    assert round(detectable(70, n), 1) == found


@pytest.mark.parametrize(
    ("rate", "n", "up", "down"),
    [(100, 256, None, 1.49), (95, 256, 3.15, 4.49), (70, 256, 7.62, 8.21), (50, 805, 4.88, 4.88), (0, 256, 1.49, None)],
)
def test_the_smallest_significant_difference(rate: float, n: int, up: float | None, down: float | None) -> None:
    """Where `p_value` crosses 5 %, up and down: once 0 at 100 %, and 3.78 both ways at 95 %."""
    found = smallest_significant(rate, n)
    assert [None if one is None else round(one, 2) for one in found] == [up, down]
    for gap, sign in zip(found, (1, -1), strict=True):
        if gap is not None:
            assert p_value(rate + sign * gap, rate, n) == pytest.approx(0.05, abs=1e-6)


def test_prompts_that_decide_equivalence() -> None:
    assert [round(prompts_for_equivalence(70, 5, phi), -1) for phi in (0.18, 0.42)] == [1180, 830]


def test_more_of_table_4() -> None:
    assert p_value(72.66, 63.28, 256) == pytest.approx(0.023, abs=0.0005)
    assert p_value(71.48, 63.28, 256) == pytest.approx(0.048, abs=0.0005)
    assert p_value(38.88, 30.84, 805) == pytest.approx(0.001, abs=0.0005)


def test_equals_and_extremes() -> None:
    assert p_value(50, 50, 256) == 1 == p_value(0, 0, 256) and prompts_needed(50, 50) is None
    assert p_value(0, 100, 256) < 1e-9
    assert p_value(60, 50, 256) == pytest.approx(p_value(50, 60, 256))
