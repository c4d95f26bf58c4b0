"""The judge's stage with MT-Bench and Arena-Hard: samples.jsonl in, verdicts.csv and metrics out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark_helpers import answered
from judge_helpers import VERDICTS, judge_samples

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.world.questions import arena_questions, mt_bench_questions

JUDGE = {"name": "test", "kind": "local", "scorer": "world", "model": "world-judge"}


@pytest.mark.parametrize(
    ("evaluation", "make", "metric"),
    [("mt_bench", mt_bench_questions, "mt_bench"), ("arena_hard", arena_questions, "arena_hard_pct")],
)
def test_a_sample_set_is_judged_and_its_rerun_asks_nothing(
    tmp_path: Path, evaluation: str, make: Callable[..., list[dict[str, Any]]], metric: str
) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text("\n".join(json.dumps(row) for row in answered(make(seed=5, n=12), draws=2)))
    spec = {"evaluation": evaluation, "judge": JUDGE, "protocol": "paper"}
    counts = judge_samples(tmp_path, spec)
    assert counts["n"] == 12 * 2 * 2 and counts["asked"] > 0
    assert counts["metrics"][metric]["n"] == 12
    json.dumps(counts, allow_nan=False)
    first = (tmp_path / VERDICTS / "verdicts.csv").read_bytes()
    frame = read_csv(tmp_path / VERDICTS / "verdicts.csv", "verdicts")
    assert len(frame) == 48 and set(frame["judge_asked"]) == {"world-judge"}
    again = judge_samples(tmp_path, spec)
    assert again["asked"] == 0 and again["metrics"] == counts["metrics"]
    assert (tmp_path / VERDICTS / "verdicts.csv").read_bytes() == first
