"""What is gained at equal KL: interpolation by hand, intervals over seeds, and what the plan measures."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from prefrepro.errors import UserError
from prefrepro.plan.build import make_plan
from prefrepro.plan.frontier import add_distances, distance_of
from prefrepro.studies.frontier.plot import draw
from prefrepro.studies.frontier.run import at, at_equal_kl, collected, page, paths_of, with_gain


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.0, 0.5), (1.0, 0.55), (2.0, 0.6), (3.0, 0.65), (4.0, 0.7), (4.1, math.nan)],
)
def test_between_two_models_the_gain_is_interpolated(level: float, expected: float) -> None:
    found = at([(0.0, 0.5), (2.0, 0.6), (4.0, 0.7), (3.0, 0.9)], level)
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_level_that_is_reached_twice_is_read_where_training_reached_it_first() -> None:
    assert at([(0.0, 0.5), (4.0, 0.7), (1.0, 0.6), (4.0, 0.9)], 2.0) == pytest.approx(0.6)


def test_rows_are_compared_at_the_kl_that_all_of_them_reached() -> None:
    found = at_equal_kl(
        {"near": [[(0.0, 0.5), (1.0, 0.6)], [(0.0, 0.5), (2.0, 0.7)]], "far": [[(0.0, 0.5), (4.0, 0.9)]]}
    )
    near, far = found["near"][-1], found["far"][-1]
    assert near.kl == far.kl == 1.0
    assert near.gain == pytest.approx(0.6) and far.gain == pytest.approx(0.6)
    assert near.low == near.high == pytest.approx(0.6), "both seeds are at 0.6 there"
    assert math.isnan(far.low), "one training has no interval over trainings"


def test_intervals_are_students_over_seeds() -> None:
    (one,) = [row[-1] for row in at_equal_kl({"a": [[(0.0, 0.5), (1.0, end)] for end in (0.6, 0.7, 0.8)]}).values()]
    low, high = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.6, 0.7, 0.8]))
    assert (one.low, one.high) == pytest.approx((low, high))


def points() -> pd.DataFrame:
    rows = [
        {"table": "t", "column": "c", "row": row, "label": row.upper(), "seed": seed, "run_id": f"{row}{seed}",
         "step": step, "kl": kl * (1 + 0.1 * seed), "kl_se": 0.1, "accuracy": 0.5 + gain, "reward": None,
         "chosen": -far, "rejected": -2 * far}
        for row, far in (("dpo", 1.0), ("rpo", 2.0))
        for seed in (1, 2)
        for step, kl, gain in ((0, 0.0, 0.0), (4, far / 2, 0.05), (8, far, 0.1))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_page_says_the_gain_at_equal_kl_and_where_each_method_ends(tmp_path: Path) -> None:
    text = page(points())
    levels = "".join(f" accuracy at {level} nats |" for level in ("0.28", "0.55", "1.10"))
    assert f"| method |{levels} final KL | chosen | rejected |" in text
    assert "| DPO |" in text and "| RPO |" in text and "2.30 ± 0.07 | -2.00 | -4.00 |" in text
    assert list(paths_of(with_gain(points()))) == ["DPO", "RPO"]
    draw(with_gain(points()), "accuracy", tmp_path / "frontier.svg")
    draw(with_gain(points()), "accuracy", tmp_path / "again.svg")
    assert (tmp_path / "frontier.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_a_reward_counts_from_that_of_the_trainings_own_reference() -> None:
    """Seeds start from different SFT models, whose rewards differ by more than any training gains."""
    starts = points().assign(reward=points()["accuracy"] + 10 * points()["seed"])
    assert [path[-1][1] for path in paths_of(with_gain(starts))["DPO"]] == pytest.approx([0.1, 0.1])
    assert "| RPO | +0.01 [+0.01, +0.02] |" in page(starts)


def test_the_trainings_of_the_scales_tables_are_measured_and_no_table_waits_for_it() -> None:
    plan = make_plan({"seeds": 2})
    for node in plan.of_kind("distance"):
        del plan.nodes[node.id]
    plan.scale = plan.scale | {"frontier": {"tables": ["table1", "unknown"], "seeds": 1}}
    add_distances(plan)
    measured = [plan.nodes[run] for run in distance_of(plan)]
    assert {run.method for run in measured} == {"dpo", "rpo_uniform", "rpo_diagonal", "rpo_unpaired", "rpo_paired"}
    assert {run.spec["seed"] for run in measured} == {1}
    assert not [node for node in plan.needed_by(["table1"]) if node.kind == "distance"]


def test_the_models_on_the_way_are_kept_for_every_seed_that_is_measured() -> None:
    assert make_plan({"seeds": 2}).runtime["engine"]["snapshot_seeds"] == 3


def test_nothing_measured_is_said_with_the_command_that_measures(tmp_path: Path) -> None:
    plan = make_plan()
    plan.results = tmp_path
    with pytest.raises(UserError, match="To make them: snakemake frontier"):
        collected(plan)
