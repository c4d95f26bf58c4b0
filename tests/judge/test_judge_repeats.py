"""Requests that are asked again: which, at what cost, and what they tell of a judge that changes its mind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_helpers import answered
from faulty_judge import local_judge
from judge_helpers import VERDICTS, judge_samples
from test_judge_stage import LOCAL, write_samples

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.world.questions import mt_bench_questions
from prefrepro.errors import UserError
from prefrepro.stats.judging import judging_quality

N = 200


def run(folder: Path, **judge: Any) -> dict[str, Any]:
    spec = {"evaluation": "pairwise", "judge": {**LOCAL, **judge}, "protocol": "paper", "template": "dialogue"}
    return judge_samples(folder, spec)


def api(endpoint: Any, **more: Any) -> dict[str, Any]:
    """A paid judge behind the real HTTP client."""
    price = {"input": 10, "output": 10}
    there = {"kind": "api", "base_url": endpoint.base_url, "api_key_env": "JUDGE_TEST_KEY", "price_usd_per_mtok": price}
    return {"scorer": None, **there, **more}


def quality(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    return judging_quality(read_csv(folder / VERDICTS / "verdicts.csv", "verdicts"), manifest["repeats"])


def test_a_judge_that_never_changes_its_mind(tmp_path: Path) -> None:
    """About a tenth of the requests, chosen by their hash, three times each; verdicts and file are as without."""
    write_samples(tmp_path / "samples.jsonl", N)
    plain = run(tmp_path)
    before = (tmp_path / VERDICTS / "verdicts.csv").read_bytes()
    again = run(tmp_path, repeat={"share": 0.1, "times": 3})
    assert (tmp_path / VERDICTS / "verdicts.csv").read_bytes() == before
    assert plain["repeats"] == [] and 10 <= len(again["repeats"]) <= 32
    assert (again["asked"], again["cached"], again["reasked"]) == (3 * len(again["repeats"]), N, 0)
    assert all(len(set(one["request_sha256"])) == 4 for one in again["repeats"])
    found = quality(tmp_path, again)
    assert (found["n_repeated"], found["n_repeats"]) == (len(again["repeats"]), 3 * len(again["repeats"]))
    assert (found["flip_pct"], found["flip_ci_low"], found["judge_variance"]) == (0, 0, 0)
    assert found["flip_ci_high"] > 5
    assert run(tmp_path, repeat={"share": 0.1, "times": 3})["asked"] == 0, "what was asked is cached"
    more = run(tmp_path, repeat={"share": 0.3, "times": 3})["repeats"]
    assert {one["prompt_id"] for one in again["repeats"]} < {one["prompt_id"] for one in more}


def test_a_judge_that_flips_at_a_known_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 % of its verdicts are the opposite: two replies differ in 2 · 0.3 · 0.7 = 42 %, variance 0.21 a verdict.

    Every candidate is the better one, so the win rate's whole variance is the judge's. Paid for, and counted so.
    """
    write_samples(tmp_path / "samples.jsonl", N)
    with local_judge("length", "--flip-rate", "0.3", fault_seed=5) as endpoint:
        monkeypatch.setenv("JUDGE_TEST_KEY", endpoint.api_key)
        again = run(tmp_path, **api(endpoint, repeat={"share": 0.5, "times": 3}))
    found, chosen = quality(tmp_path, again), len(again["repeats"])
    assert again["asked"] == N + 3 * chosen and 80 <= chosen <= 120
    assert found["flip_ci_low"] < 42 < found["flip_ci_high"] and found["flip_ci_high"] - found["flip_ci_low"] < 15
    assert found["judge_variance"] == pytest.approx(0.21, abs=0.03)
    assert found["judge_share_pct"] == pytest.approx(100, abs=15) and found["judge_share_ci_high"] == 100
    assert again["repeats"][0]["verdict"][0] in ("win", "loss")
    frame = read_csv(tmp_path / VERDICTS / "verdicts.csv", "verdicts").set_index("prompt_id")
    assert all(one["request_sha256"][0] == frame.loc[one["prompt_id"], "request_sha256"] for one in again["repeats"])
    assert again["cost_usd"] == pytest.approx(frame["cost_usd"].sum() * (1 + 3 * chosen / N), rel=0.05)


def test_the_budget_holds_for_repeats_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: Any) -> None:
    write_samples(tmp_path / "samples.jsonl", 30)
    monkeypatch.setenv("JUDGE_TEST_KEY", endpoint.api_key)
    cost = run(tmp_path, **api(endpoint))["cost_usd"]
    repeat = {"share": 1, "times": 2}
    with pytest.raises(UserError, match=r"Still to be asked: [0-9]+ of 30 requests"):
        run(tmp_path, **api(endpoint, repeat=repeat, budget_usd=1.5 * cost, concurrency=1))
    finished = run(tmp_path, **api(endpoint, repeat=repeat, budget_usd=4 * cost))
    assert finished["cost_usd"] == pytest.approx(3 * cost, rel=1e-6) and len(finished["repeats"]) == 30


def test_ratings_are_repeated_too(tmp_path: Path) -> None:
    rows = answered(mt_bench_questions(0, 16))
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = {"evaluation": "mt_bench", "protocol": "paper"}
    judge = {**LOCAL, "scorer": "world", "repeat": {"share": 0.5, "times": 2}}
    manifest = judge_samples(tmp_path, {**spec, "judge": judge})
    assert 4 <= len(manifest["repeats"]) <= 28
    assert {len(one["score"]) for one in manifest["repeats"]} == {3}
    assert quality(tmp_path, manifest)["flip_pct"] == 0
    assert len(manifest["groups"]) == 16 and manifest["groups"][0][1] in {row["category"] for row in rows}


@pytest.mark.parametrize("repeat", [{"share": 0, "times": 3}, {"share": 0.1}, {"share": 0.1, "times": 0}])
def test_a_repeat_that_asks_nothing_is_refused(tmp_path: Path, repeat: dict[str, Any]) -> None:
    write_samples(tmp_path / "samples.jsonl", 2)
    with pytest.raises(UserError, match="repeat"):
        run(tmp_path, repeat=repeat)
