"""From samples.jsonl to verdicts.csv."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from judge_helpers import VERDICTS, judge_samples, stats

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.stage import read_rows, several_ratings
from prefrepro.specs.evaluation import EVALUATIONS

LOCAL = {"name": "test", "kind": "local", "scorer": "length", "model": "length-judge"}


def write_samples(path: Path, n: int = 12) -> Path:
    rows = [
        {
            "prompt_id": f"p{n - number:03d}",
            "prompt": [{"role": "user", "content": f"What is {number}?"}],
            "response": "short.",
            "baseline": "rather long.",
            "extra": 1,
        }
        for number in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(samples: Path, **changes: Any) -> dict[str, Any]:
    spec = {"evaluation": "pairwise", "judge": LOCAL, "protocol": "paper", "template": "dialogue", **changes}
    return judge_samples(samples.parent, spec)


def test_local_judging_and_its_rerun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = write_samples(tmp_path / "samples.jsonl")
    counts = run(samples)
    assert {key: counts[key] for key in ("n", "verdicts", "asked", "cached")} == {
        "n": 12,
        "verdicts": {"win": 12},
        "asked": 12,
        "cached": 0,
    }
    assert (counts["judge_asked"], counts["judge_served"], counts["cost_usd"]) == ("length-judge",) * 2 + (0.0,)
    frame = read_csv(tmp_path / VERDICTS / "verdicts.csv", "verdicts")
    assert list(frame["prompt_id"]) == [f"p{number:03d}" for number in range(1, 13)]
    first = (tmp_path / VERDICTS / "verdicts.csv").read_bytes()
    monkeypatch.setattr("sys.executable", "/nowhere/python")  # a cached judging starts no server
    counts = run(samples)
    assert (counts["asked"], counts["cached"]) == (0, 12)
    assert (tmp_path / VERDICTS / "verdicts.csv").read_bytes() == first


def test_api_judging_reads_its_key_from_the_environment(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_TEST_KEY", endpoint.api_key)
    judge = {
        "name": "test",
        "kind": "api",
        "model": "m",
        "base_url": endpoint.base_url,
        "api_key_env": "JUDGE_TEST_KEY",
        "price_usd_per_mtok": {"input": 1, "output": 1},
    }
    before = stats(endpoint)["requests"]
    counts = run(write_samples(tmp_path / "samples.jsonl"), judge=judge, protocol="robust")
    assert (counts["n"], counts["verdicts"]) == (24, {"win": 24})
    assert counts["cost_usd"] > 0
    assert stats(endpoint)["requests"] == before + 24
    for file in [*tmp_path.glob("*.sqlite*"), *(tmp_path / VERDICTS).iterdir()]:
        assert endpoint.api_key.encode() not in file.read_bytes()


def test_a_failed_judging_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="verdicts are invalid"):
        run(write_samples(tmp_path / "samples.jsonl"), judge={**LOCAL, "scorer": "nonsense"})
    assert not (tmp_path / VERDICTS).exists()


def test_a_reward_model_judge_wants_its_folder(tmp_path: Path) -> None:
    samples = write_samples(tmp_path / "samples.jsonl")
    with pytest.raises(UserError, match="wants the folder of a trained reward model"):
        run(samples, judge={**LOCAL, "scorer": "reward-model"})


def test_bad_rows_are_told_by_line(tmp_path: Path) -> None:
    good = {"prompt_id": "a", "prompt": [{"role": "user", "content": "x"}], "response": "r", "baseline": "b"}
    bad = [
        "{",
        json.dumps({**good, "response": None}),
        json.dumps({key: good[key] for key in good if key != "prompt"}),
        json.dumps({**good, "prompt": [{"role": "boss", "content": "x"}]}),
        json.dumps({**good, "response": "\ud800"}),
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join([json.dumps(good), *bad]), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert [f"line {number}:" in str(caught.value) for number in range(1, 7)] == [False] + [True] * 5
    path.write_text(json.dumps({key: good[key] for key in good if key != "baseline"}))
    with pytest.raises(UserError, match="prompt a has no baseline"):
        run(path)
    path.write_text("\n")
    with pytest.raises(UserError, match="found no samples"):
        read_rows(path)
    with pytest.raises(UserError, match="no samples could be read"):
        read_rows(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("evaluation", "replies", "several"),
    [
        ("mt_bench", ["[[5]] or [[8]]", "[[5]], so [[5]]", "Rating: [[8]]"], 1),
        ("arena_hard", ["[[A>B]]", "[[A>B]] … [[B>A]]"], 1),
        ("pairwise", ["Response 1", "Response 1 is short. Response 2", "summary 2", ""], 1),
        ("alpaca_eval", ["[{'model': 'm', 'rank': 1}]"], None),
    ],
)
def test_replies_with_several_different_ratings_are_counted(
    evaluation: str, replies: list[str], several: int | None
) -> None:
    module = importlib.import_module(EVALUATIONS[evaluation])
    assert several_ratings(replies, getattr(module, "RATINGS", None)) == several
