"""Differences of printed rates against docs/judging.md#printed-differences."""

from __future__ import annotations

import math

import pytest

from prefrepro.studies.audit.differences import detectable, p_value, prompts_needed, smallest_significant


def test_paired_rpo_against_dpo() -> None:
    """The headline of RPO Table 1: z = 0.0626 / √(0.7539 · 0.2461 · 2/256) = 1.644."""
    assert p_value(78.52, 72.26, 256) == pytest.approx(0.100, abs=0.0005)
    z = 0.0626 / math.sqrt(0.7539 * 0.2461 * 2 / 256)
    assert p_value(78.52, 72.26, 256) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=1e-6)
    assert prompts_needed(78.52, 72.26) == 739


@pytest.mark.parametrize(("n", "significant", "found"), [(256, 7.9, 11.3), (805, 4.5, 6.4)])
def test_what_can_be_seen_near_70_percent(n: int, significant: float, found: float) -> None:
    assert (round(smallest_significant(70, n), 1), round(detectable(70, n), 1)) == (significant, found)


def test_more_of_table_4() -> None:
    assert p_value(72.66, 63.28, 256) == pytest.approx(0.023, abs=0.0005)
    assert p_value(71.48, 63.28, 256) == pytest.approx(0.048, abs=0.0005)
    assert p_value(38.88, 30.84, 805) == pytest.approx(0.001, abs=0.0005)


def test_equals_and_extremes() -> None:
    assert p_value(50, 50, 256) == 1 == p_value(0, 0, 256) and prompts_needed(50, 50) is None
    assert p_value(0, 100, 256) < 1e-9 and smallest_significant(100, 256) == 0
    assert p_value(60, 50, 256) == pytest.approx(p_value(50, 60, 256))
