"""Judges that are away, talk nonsense, are too dear or want a key: no verdicts.csv, nothing paid is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout import JOB, Checkout, Done

Refused = Callable[..., str]
N = 40

pytestmark = pytest.mark.usefixtures("earlier")


class Judging:
    """One verdict node of a judge of our own, whose sample set is there."""

    def __init__(self, checkout: Checkout, judge: dict[str, Any], **config: Any) -> None:
        checkout.write_yaml("config/judges/mine.yaml", {"name": "mine", "model": "my-judge"} | judge)
        self.checkout = checkout
        self.config = {"judge": "mine", **config}
        nodes = {node["id"]: node for node in checkout.nodes(**self.config)}
        verdict = next(node for node in nodes.values() if node["kind"] == "verdict")
        self.id: str = verdict["id"]
        self.out = checkout.results / verdict["folder"]
        sample = checkout.results / nodes[verdict["inputs"]["sample"]]["folder"]
        sample.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "prompt_id": f"p{n:03d}",
                "prompt": [{"role": "user", "content": f"What is {n}?"}],
                "response": f"It is {n}.",
                "baseline": f"It is the number {n}, I think.",
                "tokens": 4,
                "finish": "eos",
            }
            for n in range(N)
        ]
        (sample / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (sample / "manifest.json").write_text("{}\n", encoding="utf-8")
        self.samples = sample / "samples.jsonl"

        words = [f"{key}={value}" for key, value in self.config.items()]
        assert checkout.prefrepro("plan", "table1", *words, "--write").returncode == 0

    def run(self) -> Done:
        return self.checkout.python(*JOB, self.id)

    def replies(self) -> int:
        """Rows of the cache of all judging."""
        cache = sqlite3.connect(self.checkout.results / "judge_cache.sqlite")
        try:
            ((table,),) = cache.execute("select name from sqlite_master where type = 'table' limit 1").fetchall()
            return cache.execute(f"select count(*) from {table}").fetchone()[0]
        finally:
            cache.close()

    def left_nothing(self) -> None:
        assert not (self.out / "verdicts.csv").exists()
        assert not (self.out / "manifest.json").exists()
        assert self.samples.is_file()


def api(**more: Any) -> dict[str, Any]:
    price = {"input": 1000, "output": 1000}
    return {"kind": "api", "base_url": "http://127.0.0.1:9/v1", "price_usd_per_mtok": price, **more}


def test_a_judge_that_scores_by_length(checkout: Checkout) -> None:
    """The stage itself works with what these tests make by hand."""
    judging = Judging(checkout, {"kind": "local", "scorer": "length"})
    done = judging.run()
    assert done.returncode == 0, done.stderr
    manifest = json.loads((judging.out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["n"], manifest["verdicts"]) == (N, {"win": N})
    assert judging.replies() == N


def test_an_unreachable_judge(checkout: Checkout, refused: Refused) -> None:
    judging = Judging(checkout, api())
    refused(judging.run(), 'judge "mine" cannot be reached at http://127.0.0.1:9/v1', "run again")
    judging.left_nothing()


def test_a_judge_without_its_key(
    checkout: Checkout, refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PREFREPRO_TEST_KEY", raising=False)
    judging = Judging(checkout, api(api_key_env="PREFREPRO_TEST_KEY"))
    refused(judging.run(), "PREFREPRO_TEST_KEY is empty", "export PREFREPRO_TEST_KEY=")
    judging.left_nothing()


def test_a_judge_that_answers_nonsense(checkout: Checkout, refused: Refused) -> None:
    judging = Judging(checkout, {"kind": "local", "scorer": "nonsense", "reasks": 1})
    refused(judging.run(), f"{N} of {N} verdicts are invalid (100.0%)", "the limit is 2.0%", "in the cache")
    judging.left_nothing()
    assert judging.replies() == 2 * N, "an answer, asked again once"


def test_nonsense_below_the_limit_is_counted_as_invalid(checkout: Checkout) -> None:
    judging = Judging(checkout, {"kind": "local", "scorer": "nonsense", "reasks": 0, "invalid_limit": 1.0})
    done = judging.run()
    assert done.returncode == 0, done.stderr
    manifest = json.loads((judging.out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["n"], manifest["verdicts"]) == (N, {"invalid": N})


def test_a_budget_that_is_used_up(checkout: Checkout, refused: Refused) -> None:
    judging = Judging(checkout, api(), budget_usd=0)
    refused(judging.run(), "budget 0.0000 USD", "budget_usd")
    judging.left_nothing()


def test_the_budget_of_the_workflow_holds_over_the_judges_own(checkout: Checkout, refused: Refused) -> None:
    judging = Judging(checkout, api(budget_usd=100), budget_usd=0.00001)
    refused(judging.run(), "budget 0.0000 USD", "spent 0.0000")


def test_replies_of_a_failed_judging_are_not_asked_again(checkout: Checkout, refused: Refused) -> None:
    """First above the limit of invalid verdicts, then with a higher one: the second asks nobody."""
    nonsense = {"kind": "local", "scorer": "nonsense", "reasks": 0}
    refused(Judging(checkout, nonsense).run(), "verdicts are invalid")
    again = Judging(checkout, nonsense | {"invalid_limit": 1.0})
    done = again.run()
    assert done.returncode == 0, done.stderr
    manifest = json.loads((again.out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["asked"], manifest["cached"]) == (0, N)


def test_a_torn_sample_set(checkout: Checkout, refused: Refused) -> None:
    judging = Judging(checkout, {"kind": "local", "scorer": "length"})
    whole = judging.samples.read_text(encoding="utf-8")
    judging.samples.write_text(whole[: len(whole) // 2], encoding="utf-8")
    refused(judging.run(), "samples.jsonl, line ", "sample again")
    assert not (judging.out / "verdicts.csv").exists()
