"""The training benchmark: what candidates train, what a summary makes of rounds, and one run of no size."""

from __future__ import annotations

import csv
import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import train
from bench.peers import each_positive_with_each_negative, every_response_once
from bench.stamp import write_rows
from bench.workload import BATCH, SIZES, Row, Workload, text

ROOT = Path(__file__).parents[2]


def run_of(speed: float, memory: float = 100.0, losses: tuple[float, ...] = (0.5, 0.4)) -> dict[str, Any]:
    return dict.fromkeys(train.FIGURES, 1.0) | {"pairs_per_s": speed, "peak_rss_mb": memory, "losses": list(losses)}


def test_ratios_are_of_medians_and_to_the_fastest_of_trl() -> None:
    """Medians 12, 3 (plain), 4 and 2 (TRL): 12/4 to the best TRL, 12/3 to the plain loop, 50 of 200 MB."""
    found = {
        "ours": [run_of(speed, 50, (0.5, 0.4 + change)) for speed, change in ((10, 0), (12, 0), (90, 2e-6))],
        "padded_live": [run_of(3)] * 3,
        "trl_live": [run_of(2, 300)] * 3,
        "trl_precomputed": [run_of(4, 200, (0.5, 0.40001))] * 3,
        "trl_defaults": [run_of(1, 100, (0.9, 0.9))] * 3,
    }
    rows = {row["candidate"]: row for row in train.summary("2k", 2, found)}
    assert (rows["ours"]["ratio_to_best_trl"], rows["ours"]["ratio_to_padded"]) == (3, 4)
    assert rows["ours"]["rss_ratio_to_best_trl"] == 0.25
    assert rows["ours"]["max_loss_difference"] == pytest.approx(2e-6)
    assert rows["trl_precomputed"]["max_loss_difference"] == pytest.approx(1e-5)
    assert "max_loss_difference" not in rows["trl_defaults"], "bfloat16 trains something else"
    assert (rows["ours"]["pairs_per_s_min"], rows["ours"]["pairs_per_s_max"]) == (10, 90)


def test_where_the_plain_loop_is_too_slow_losses_stand_beside_ours_in_float32() -> None:
    found = {"ours": [run_of(2)], "ours_bf16": [run_of(4, losses=(0.5, 0.41))] * 2}
    found["ours_bf16"][1] = found["ours_bf16"][1] | {"other_cores": 0.1}
    rows = {row["candidate"]: row for row in train.summary("smollm2", 2, found)}
    assert rows["ours_bf16"]["max_loss_difference"] == pytest.approx(0.01)
    assert "ratio_to_padded" not in rows["ours_bf16"]
    assert (rows["ours_bf16"]["busy_rounds"], rows["ours_bf16"]["rounds"]) == (1, 2)


def test_without_peers_there_is_no_ratio_to_them() -> None:
    (row,) = train.summary("32k", 4, {"ours": [run_of(1)]})
    assert row["vocab"] == 32000 and "ratio_to_best_trl" not in row and "ratio_to_padded" not in row


@pytest.mark.parametrize("seed", range(20))
def test_comparisons_are_of_a_positive_with_a_negative(seed: int) -> None:
    """All of them, or as few as hold every response."""
    draw = random.Random(seed)
    scores = sorted((draw.uniform(0, 10) for _ in range(4)), reverse=True)
    row = Row([1], [[2]] * 4, scores)
    positives = sum(score > sum(scores) / 4 for score in scores)
    every, least = each_positive_with_each_negative(row), every_response_once(row)
    assert len(set(every)) == positives * (4 - positives)
    assert {a for a, _ in every} == set(range(positives)) and {b for _, b in every} == set(range(positives, 4))
    assert set(least) <= set(every) and len(least) == max(positives, 4 - positives)
    assert {number for pair in least for number in pair} == set(range(4))


def test_every_row_is_trained_once_and_in_the_lengths_asked_for() -> None:
    workload = Workload(SIZES["2k"], 4)
    rows = workload.rows()
    assert rows == workload.rows()
    assert sorted(n for step in workload.step_rows() for n in step.chosen) == list(range(workload.steps * BATCH))
    assert all(16 <= len(part) <= 256 for row in rows for part in (row.prompt, *row.responses))
    assert [row.prompt for row in rows] == [row.prompt for row in Workload(SIZES["2k"], 2).rows()]
    assert text([1, 7, 2]) == " t7 </s>"


def test_a_run_of_no_size_trains_the_same_losses_and_says_what_is_skipped(tmp_path: Path) -> None:
    out = tmp_path / "train.csv"
    earlier = [{"vocab": 32000, "k": 2, "candidate": "ours"}, {"vocab": 64, "k": 2, "candidate": "ours_packed"}]
    write_rows(out, train.COLUMNS, earlier)
    command = [sys.executable, "-m", "bench.train", "--smoke", "--k", "2", "--out", str(out)]
    command += ["--only", "ours", "ours_bf16", "padded_live", "trl_precomputed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with out.open(encoding="utf-8", newline="") as file:
        *found, last = csv.DictReader(file)
    assert (last["vocab"], last["candidate"], last["rounds"]) == ("32000", "ours", ""), "another size's row stays"
    rows = {row["candidate"]: row for row in found}
    assert tuple(rows["ours"]) == train.COLUMNS
    assert float(rows["ours"]["max_loss_difference"]) < 1e-5
    assert 0 < float(rows["ours_bf16"]["max_loss_difference"]) < 0.02, "bfloat16's rounding"
    assert float(rows["ours"]["pairs_per_s"]) > 0 and float(rows["ours"]["ratio_to_padded"]) > 0
    assert rows["ours"]["loss_first"] != rows["ours"]["loss_last"], "nothing was trained"
    if importlib.util.find_spec("trl") is None:
        assert "skipped: trl_precomputed, size tiny, k = 2: TRL cannot be imported" in done.stdout
        assert set(rows) == {"ours", "ours_bf16", "padded_live"}
    else:
        assert float(rows["trl_precomputed"]["max_loss_difference"]) < 1e-5


def test_a_run_of_no_size_does_not_overwrite_figures() -> None:
    command = [sys.executable, "-m", "bench.train", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--smoke measures nothing" in done.stderr
