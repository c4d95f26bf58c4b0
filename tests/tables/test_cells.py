"""Cells from planned cells and verdicts: value, interval, status, and what is missing."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from table_helpers import judged

from prefrepro.csv_schema.schema import read_csv, validate_frame
from prefrepro.stats.metrics import VerdictSet
from prefrepro.stats.paired import tango
from prefrepro.tables.cells import build_cells, missing


def test_a_table_by_hand(make_cell, make_verdicts) -> None:
    """RPO Table 1: 185 and 201 wins of 256; 30 prompts turn one way and 14 the other (exact McNemar)."""
    dpo = ["win"] * 185 + ["loss"] * 71
    rpo = ["win"] * 171 + ["loss"] * 14 + ["win"] * 30 + ["loss"] * 41
    sets = {"d": make_verdicts("d", dpo), "r": make_verdicts("r", rpo)}
    cells = build_cells([make_cell("dpo", ["d"], reported=72.26), make_cell("rpo-paired", ["r"])], judged(sets))
    validate_frame(cells, "cells", "built")
    base, own = cells.to_dict("records")
    assert (round(own["value"], 2), round(own["ci_low"], 2), round(own["ci_high"], 2)) == (
        78.52,
        73.08,
        83.11,
    )
    assert own["delta"] == pytest.approx(100 * 201 / 256 - 78.52)
    assert (own["status"], own["n"], own["n_seeds"], own["ci_method"]) == ("consistent", 256, 1, "wilson")
    assert (own["diff"], own["diff_method"]) == (pytest.approx(100 * 16 / 256), "tango")
    low, high = tango(30, 14, 256)
    assert (own["diff_low"], own["diff_high"]) == pytest.approx((100 * low, 100 * high))
    assert (own["margin"], own["equivalence"]) == (5, "different") and pd.isna(base["equivalence"])
    assert own["delta_low"] < own["delta"] < own["delta_high"]
    assert own["p_vs_baseline"] == pytest.approx(2 * sum(math.comb(44, k) for k in range(15)) / 2**44)
    assert base["p_vs_baseline"] is None or pd.isna(base["p_vs_baseline"])
    assert (own["run_id"], own["sample_id"], own["verdict_id"]) == ("r-r", "s-r", "r")
    assert missing(cells) == []


@pytest.mark.parametrize(
    ("changes", "status", "has_delta"),
    [
        ({}, "consistent", True),
        ({"reported": 20.0}, "differs", True),
        ({"reported": None}, "not_comparable", False),
        ({"comparable": False, "scale": "embedded"}, "not_comparable", False),
        ({"judge_is_substitute": True}, "substitute_judge", True),
        ({"judge_is_substitute": True, "comparable": False}, "not_comparable", False),
        ({"verdict_ids": ["gone"]}, "not_run", False),
        ({"verdict_ids": ["v", "gone"]}, "not_run", False),
        ({"verdict_ids": []}, "not_run", False),
        ({"verdict_ids": ["empty"]}, "not_run", False),
    ],
)
def test_status(make_cell, make_verdicts, changes: dict[str, Any], status: str, has_delta: bool) -> None:
    good = make_verdicts("v", ["win"] * 40 + ["loss"] * 10)
    sets = {"v": good, "empty": good.iloc[:0]}
    frame = build_cells([{**make_cell("dpo", ["v"]), **changes}], judged(sets))
    validate_frame(frame, "cells", "built")
    (cell,) = frame.to_dict("records")
    assert cell["status"] == status
    assert pd.notna(cell["delta"]) == has_delta
    assert pd.isna(cell["value"]) == (status == "not_run")
    assert missing(frame) == (["rpo/table1 dpo × hh"] if status == "not_run" else [])


def test_all_invalid_is_not_run_and_shows_its_count(make_cell, make_verdicts) -> None:
    halves = [make_verdicts("v", ["invalid"] * 3, order=order) for order in ("candidate_first", "baseline_first")]
    cell = make_cell("dpo", ["v"], protocol="robust")
    (row,) = build_cells([cell], judged({"v": pd.concat(halves)})).to_dict("records")
    assert (row["status"], row["n"], row["n_invalid"]) == ("not_run", 3, 3)
    assert pd.isna(row["value"])


def test_seeds_pool_and_keep_their_ids(make_cell, make_verdicts) -> None:
    sets = {
        name: make_verdicts(name, ["win"] * k + ["loss"] * (40 - k)) for name, k in (("a", 30), ("b", 34), ("c", 20))
    }
    cells = [make_cell("rpo", ["a", "b"], reported=80.0), make_cell("dpo", ["c"])]
    own, _ = build_cells(cells, judged(sets)).to_dict("records")
    assert (own["value"], own["n"], own["n_seeds"]) == (80.0, 40, 2)
    assert (own["ci_method"], own["verdict_id"], own["run_id"]) == (
        "wilson_seeds_prompts",
        "a;b",
        "r-a;r-b",
    )
    assert 0 < own["p_vs_baseline"] < 0.2 and own["diff_method"] == "t_seeds_prompts"


def test_a_missing_verdict_file_counts_as_not_run(make_cell, tmp_path) -> None:
    frame = build_cells([make_cell("dpo", ["v"])], lambda name: VerdictSet(read_csv(tmp_path / name, "verdicts"), {}))
    assert missing(frame)


def test_no_p_where_the_baseline_has_no_number(make_cell, make_verdicts) -> None:
    sets = {"v": make_verdicts("v", ["win", "loss"])}
    cells = [
        make_cell("dpo", ["gone"]),
        make_cell("rpo", ["v"]),
        make_cell("rpo", ["v"], column="tldr"),
        make_cell("kto", ["v"], baseline=None),
    ]
    found = build_cells(cells, judged(sets))
    assert [p for p in found["p_vs_baseline"] if pd.notna(p)] == []


def test_verdicts_are_read_once(make_cell, make_verdicts) -> None:
    asked: list[str] = []

    def verdicts(name: str) -> VerdictSet:
        asked.append(name)
        return VerdictSet(make_verdicts(name, ["win", "loss"]), {})

    build_cells([make_cell("dpo", ["d"]), make_cell("a", ["a"]), make_cell("b", ["b"])], verdicts)
    assert sorted(asked) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"deviation": "LoRA of rank 8"}, "LoRA of rank 8"),
        ({"deviation": "LoRA of rank 8", "reported": None}, "no number is printed; LoRA of rank 8"),
        ({"deviation": "LoRA of rank 8", "samples_from": "a.jsonl"}, "samples imported from a.jsonl; LoRA of rank 8"),
    ],
)
def test_a_number_says_what_deviates(make_cell, make_verdicts, changes: dict[str, Any], reason: str | None) -> None:
    sets = {"v": make_verdicts("v", ["win"] * 40 + ["loss"] * 10)}
    frame = build_cells([{**make_cell("dpo", ["v"]), **changes}], judged(sets))
    validate_frame(frame, "cells", "built")
    assert frame["reason"].tolist() == [reason]
