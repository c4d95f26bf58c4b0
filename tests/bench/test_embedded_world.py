"""The bounds that the embedded world is held to, on made-up reports; `pytest -m slow` runs the real thing."""

from __future__ import annotations

from typing import Any

import pytest

from bench.embedded_world import broken_bounds, distinct_2, words


def line(method: str, **changes: Any) -> dict[str, Any]:
    low = {"sft": 45.0, "dpo": 65.0}[method]
    values = {
        "row": method, "method": method, "seed": 1, "win_rate": low + 6, "ci_low": low, "ci_high": low + 12,
        "reward_accuracy": 0.7, "words_ratio": 0.6, "distinct_2_ratio": 1.0,
    }  # fmt: skip
    return values | changes


def test_a_world_that_holds_breaks_nothing() -> None:
    assert broken_bounds([line("sft"), line("dpo")]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"win_rate": 60.0}, "not clear of SFT"),
        ({"ci_low": 56.0}, "not clear of SFT"),
        ({"reward_accuracy": 0.64}, "reward accuracy is 0.640"),
        ({"words_ratio": 0.3}, "0.30 times as long"),
        ({"words_ratio": 1.7}, "1.70 times as long"),
        ({"distinct_2_ratio": 0.8}, "distinct-2 is 0.80"),
    ],
)
def test_each_bound_is_held(changes: dict[str, float], said: str) -> None:
    (broken,) = broken_bounds([line("sft"), line("dpo", **changes)])
    assert said in broken
    assert broken.startswith("dpo, seed 1")


def test_a_table_without_sft_is_held_to_what_it_has() -> None:
    assert broken_bounds([line("dpo", win_rate=40.0)]) == []


def test_what_is_measured() -> None:
    """«a b a b» has the pairs ab, ba, ab: two of three are distinct; «c» has none and counts as 1."""
    assert words(["a b a b", "c"]) == 2.5
    assert distinct_2(["a b a b", "c"]) == pytest.approx((2 / 3 + 1) / 2)
