"""The bounds that the embedded world is held to, on made-up reports; `pytest -m slow` runs the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.embedded_world import averaged, broken_bounds, distinct_2, spread_beside, words
from prefrepro.csv_schema.schema import load_schema, write_csv
from prefrepro.errors import UserError


def line(method: str, **changes: Any) -> dict[str, Any]:
    low = {"sft": 45.0, "dpo": 65.0}[method]
    values = {
        "column": "table1, win-rate", "row": method, "method": method, "dataset": "hh", "seed": 1,
        "win_rate": low + 6, "ci_low": low, "ci_high": low + 12,
        "known_reward": 1.0, "reward_accuracy": 0.7, "chosen_fall": 0.1,
        "words": 20.0, "words_ratio": 0.6, "distinct_2_ratio": 1.0,
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
    assert broken.startswith("table1, win-rate, dpo, seed 1")


def test_seeds_that_spread_are_told_and_three_that_do_not_are_not() -> None:
    def seeds(*win_rates: float) -> list[dict[str, Any]]:
        return [line("dpo", seed=seed, win_rate=rate) for seed, rate in enumerate(win_rates, 1)]

    assert broken_bounds(seeds(70.0, 72.0, 74.0)) == []  # 2.0
    assert broken_bounds(seeds(70.0, 78.0)) == []  # two say little
    assert broken_bounds(seeds(70.0, 73.0, 76.0)) == ["table1, win-rate, dpo: its 3 seeds spread by 3.0 points"]


def test_the_report_has_a_line_for_each_row_over_its_seeds() -> None:
    (row,) = averaged([line("dpo", win_rate=70.0), line("dpo", seed=2, win_rate=74.0)])
    assert (row["seeds"], row["win_rate"], row["spread"]) == (2, 72.0, pytest.approx(8**0.5))
    (alone,) = averaged([line("sft")])
    assert alone["spread"] is None


@pytest.mark.parametrize("variant", ["default", "seeds=2"])
def test_rounding_is_told_beside_the_seeds_spread(tmp_path: Path, variant: str) -> None:
    """Seeds 1 and 2 moved by 3 and 5 points: √((9 + 25) / 2) / √2."""
    lines = [line("dpo", seed=seed, win_rate=70.0, column="rpo_table1, win-rate") for seed in (1, 2)]
    cells = [
        dict.fromkeys(load_schema("cell_seeds").columns)
        | {"paper": "rpo", "table": "table1", "row": "dpo", "column": "win-rate", "metric": "win_rate_pct"}
        | {"seed": seed, "value": value, "n": 256, "n_tie": 0, "n_invalid": 0, "verdict_id": "v", "scale": "embedded"}
        | {"reading": "paper", "variant": variant}
        for seed, value in ((1, 67.0), (2, 75.0))
    ]
    write_csv(pd.DataFrame(cells), tmp_path / "cell_seeds.csv", "cell_seeds")
    found = spread_beside(lines, tmp_path)
    assert found == {("rpo_table1, win-rate", "dpo"): pytest.approx(8.5**0.5)}
    assert broken_bounds(lines, found) == ["rpo_table1, win-rate, dpo: another order of sums spreads it by 2.9 points"]
    with pytest.raises(UserError, match="no rpo_table1, win-rate, row dpo, seed 3"):
        spread_beside([lines[0] | {"seed": 3}], tmp_path)


def test_a_table_without_sft_is_held_to_what_it_has() -> None:
    assert broken_bounds([line("dpo", win_rate=40.0)]) == []


def test_what_is_measured() -> None:
    """«a b a b» has the pairs ab, ba, ab: two of three are distinct; «c» has none and counts as 1."""
    assert words(["a b a b", "c"]) == 2.5
    assert distinct_2(["a b a b", "c"]) == pytest.approx((2 / 3 + 1) / 2)
