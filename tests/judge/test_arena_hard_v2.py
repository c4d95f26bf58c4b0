"""Arena-Hard v2.0: baselines by category, one kind of question a set, style control; v0.1 refuses its files by name."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judge_helpers import make_config

from prefrepro.data import sources
from prefrepro.data.arena_hard import BASELINES, arena_hard_v2_prompts
from prefrepro.errors import UserError
from prefrepro.judge.arena_hard import evaluate
from prefrepro.judge.arena_style import features, style_controlled
from prefrepro.judge.benchmark import arena_hard_prompt
from prefrepro.judge.client import JudgeClient
from prefrepro.specs.sources import check_named, read_named

HARD, CREATIVE = "o3-mini-2025-01-31", "gemini-2.0-flash-001"


def question(number: int, category: str = "hard_prompt") -> dict[str, Any]:
    return {"uid": f"u{number}", "category": category, "subcategory": "coding", "prompt": f"Do {number}."}


def answer(number: int, model: str, said: str = "Done, at some length.") -> dict[str, Any]:
    turns = [{"role": "user", "content": "…"}, {"role": "assistant", "content": {"answer": f"{said} {number}"}}]
    return {"uid": f"u{number}", "model": model, "messages": turns}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Six questions, every third one of creative writing; both baselines answered all."""
    questions = [question(n, "creative_writing" if n % 3 == 2 else "hard_prompt") for n in range(6)]
    hard, creative = (write(tmp_path / f"{m}.jsonl", [answer(n, m) for n in range(6)]) for m in (HARD, CREATIVE))
    return write(tmp_path / "question.jsonl", questions), hard, creative


def test_each_question_has_the_answer_of_its_categorys_baseline(files: tuple[Path, Path, Path]) -> None:
    rows = arena_hard_v2_prompts(*files)
    assert [row["category"] for row in rows] == ["hard_prompt", "hard_prompt", "creative_writing"] * 2
    assert [list(row["references"]) for row in rows] == [[HARD], [HARD], [CREATIVE]] * 2
    assert rows[2]["references"] == {CREATIVE: "Done, at some length. 2"}


def test_a_data_set_of_local_files(files: tuple[Path, Path, Path]) -> None:
    """As the planner hands it over: config/datasets/arena-hard-v2-hub.yaml with `files`."""
    named = dict(zip(("questions", "answers", "creative_answers"), map(str, files), strict=True))
    source = {key: value for key, value in read_named("datasets", "arena-hard-v2-hub", "x").items() if key != "repo"}
    check_named("datasets", "x", source | {"files": named})
    built = sources.read(source | {"files": named, "n_prompts": 6})
    assert built.prompts is not None and len(built.prompts) == 6


def test_v2_under_v01s_name_is_refused_by_name_and_the_other_way_round(files: tuple[Path, Path, Path]) -> None:
    """Once 750 questions were accepted, creative writing held against the wrong baseline."""
    named = {"questions": str(files[0]), "answers": str(files[1])}
    with pytest.raises(
        UserError, match=r"line 1: a question of Arena-Hard v2\.0 \(category hard_prompt\).*set: arena_hard_v2"
    ):
        sources.read({"kind": "instructions", "set": "arena_hard", "files": named, "n_prompts": 6})
    old = write(files[0], [question(0, "arena-hard-v0.1")])
    with pytest.raises(UserError, match=r"category arena-hard-v0\.1; expected hard_prompt.*set: arena_hard for v0\.1"):
        arena_hard_v2_prompts(old, *files[1:])


def test_a_baseline_that_is_missing_is_named(files: tuple[Path, Path, Path]) -> None:
    with pytest.raises(UserError, match=r"u2 \(creative_writing\) has no answer of gemini-2\.0-flash-001"):
        arena_hard_v2_prompts(files[0], files[1])


def test_a_set_judges_one_kind_against_its_baseline(files: tuple[Path, Path, Path], open_client: Any) -> None:
    """The judge prefers the shorter answer, which is the candidate's; 16,000 tokens, the last label counts."""
    rows = [row | {"response": "Short.", "draw": 0} for row in arena_hard_v2_prompts(*files)]
    client: JudgeClient = open_client()
    hard = evaluate(rows, client, {"protocol": "paper", "category": "hard_prompt"})
    creative = evaluate(rows, client, {"protocol": "paper", "category": "creative_writing"})
    assert (len(hard.frame), len(creative.frame)) == (8, 4)
    assert set(hard.frame["verdict"]) == {"win"} and set(hard.frame["weight"]) == {3.0}
    assert {name: found["n"] for name, found in hard.metrics.items()} == {
        "arena_hard_pct": 4,
        "arena_hard_style_pct": 4,
    }
    assert hard.metrics["arena_hard_style_pct"]["value"] == 100.0, "nothing but wins has no other rate"
    assert set(hard.frame["prompt_sha256"]) != set(creative.frame["prompt_sha256"]), (
        "creative writing has its own prompt"
    )
    assert "First answer the user yourself" not in arena_hard_prompt(category="creative_writing").system
    with pytest.raises(UserError, match="no question of category creative_writing"):
        evaluate(rows[:2], client, {"protocol": "paper", "category": "creative_writing"})


def test_tokens_are_the_releases(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    class Listener(JudgeClient):
        def ask(self, request: dict[str, Any], repeat: int = 0) -> Any:
            asked.append(request)
            raise UserError("heard enough")

    rows = [row | {"response": "Short."} for row in arena_hard_v2_prompts(*files)]
    client = Listener(make_config(), tmp_path / "c.sqlite", "id", lambda: pytest.fail("no server is wanted"))
    with client, pytest.raises(UserError, match="heard enough"):
        evaluate(rows, client, {"protocol": "paper", "category": "hard_prompt"})
    assert asked[0]["max_tokens"] == 16_000 and "seed" not in asked[0]
    assert set(BASELINES.values()) == {HARD, CREATIVE}


def test_style_features_by_hand() -> None:
    """Lengths 40 and 20 characters: 10 and 5 tokens, ratio 1/3. One header a line counts, one in a code block not."""
    ours = ["# Title\n- one\n- two\n**bold** and the rest", "x" * 40]
    found = features(ours, ["y" * 20, "y" * 20])
    lengths = np.array([(len(text) - 20) / (len(text) + 20) for text in ours])
    assert found[:, 0] * lengths.std(ddof=1) == pytest.approx(lengths)
    assert found[0, 1] > 0 and found[0, 2] > 0 and found[0, 3] > 0 and not found[1, 1:].any()
    assert not features(["```\n# no header\n```", "a"], ["b", "c"])[:, 1].any()


def test_style_control_takes_out_what_length_alone_wins() -> None:
    """The longer answer wins nine in ten; the candidate is longer in most: its rate falls to about a half."""
    rng, rows, games = random.Random(0), [], []
    for number in range(400):
        size = rng.choice([300, 200, 150, 60])
        rows.append({"prompt_id": f"p{number}", "response": "x" * size, "references": {HARD: "y" * 100}, "draw": 0})
        wins = (rng.random() < 0.9) == (size > 100)
        for order in ("candidate_first", "baseline_first"):
            verdict = {"verdict": "win" if wins else "loss", "score": float(wins), "weight": 1.0}
            games.append({"prompt_id": f"p{number}", "draw": 0, "order": order, **verdict})
    found = style_controlled(pd.DataFrame(games), rows, HARD)
    raw = 100 * float(np.mean([game["score"] for game in games]))
    assert raw > 65 and abs(found["value"] - 50) < 12, (raw, found["value"])
    assert len(found["replicates"]) == 200 and 1 < np.std(found["replicates"]) < 10
    again = style_controlled(pd.DataFrame(games), rows, HARD)
    assert again == found
