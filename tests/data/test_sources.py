"""Every kind of source as a data node: own splits or one cut by prompt, ranked rows, prompts alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED

from prefrepro.data.build import build
from prefrepro.data.sources import BUILDERS, SALT
from prefrepro.data.splits import split_of
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError
from prefrepro.model.examples import read_rows

FILES = ("pretrain", "train", "eval", "dev", "judge", "prompts")
ASKED = {"n_prompts": 4, "prompt_batch": 2, "order_seed": 1, "reading": "paper"}
"""What the plan adds to a dataset's file."""


def built(source: dict[str, Any], folder: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    build({"source": ASKED | source}, {}, folder)
    return (
        {name: read_rows(folder / f"{name}.jsonl") for name in FILES},
        json.loads((folder / "manifest.json").read_text(encoding="utf-8")),
    )


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(n: int, tag: str = "") -> list[dict[str, Any]]:
    return [{"prompt": f"Question {tag}{i}?", "chosen": f"Good {i}.", "rejected": f"Bad {i}."} for i in range(n)]


def transcripts(n: int, tag: str) -> list[dict[str, Any]]:
    heads = [f"\n\nHuman: Question {tag}{i}?\n\nAssistant:" for i in range(n)]
    return [{"chosen": f"{head} Good.", "rejected": f"{head} Bad."} for head in heads]


OWN = {"on_bad_row": "stop", "parts": {"train": 0.8, "judge": 0.2}}


def test_a_folder_with_the_hubs_splits_is_read_as_the_hub_would_be(tmp_path: Path) -> None:
    write(tmp_path / "hh/harmless-base/train.jsonl", transcripts(50, "a"))
    write(tmp_path / "hh/harmless-base/test.jsonl", transcripts(8, "b"))
    parts, manifest = built(OWN | {"kind": "hh", "files": str(tmp_path / "hh"), "pretrain": False}, tmp_path / "out")
    assert len(parts["train"]) + len(parts["judge"]) == 50
    assert {row["prompt"][0]["content"] for row in parts["eval"]} == {f"Question b{i}?" for i in range(8)}
    assert (parts["pretrain"], len(parts["prompts"])) == ([], 4)
    assert manifest["from"] == {"files": [str(tmp_path / "hh")]}
    assert manifest["eval_prompts_in_train"] == 0


def test_fewer_held_out_rows_leave_the_prompts_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "hh/harmless-base/train.jsonl", transcripts(50, "a"))
    write(tmp_path / "hh/harmless-base/test.jsonl", transcripts(9, "b"))
    source = OWN | {"kind": "hh", "files": str(tmp_path / "hh"), "pretrain": False}
    whole, manifest = built(source, tmp_path / "whole")
    assert manifest["rows_left_out"] == dict.fromkeys(("train", "eval", "dev", "judge"), 0)
    for most, kept in ((3, [0, 3, 6]), (4, [0, 2, 4, 6]), (100, range(9))):
        parts, manifest = built(source | {"eval_rows": most}, tmp_path / f"{most}")
        assert parts == whole | {"eval": [whole["eval"][place] for place in kept]}
        assert manifest["rows"]["eval"] + manifest["rows_left_out"]["eval"] == 9


def test_one_file_is_never_both_train_and_eval(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", transcripts(50, "a"))
    with pytest.raises(UserError, match=r'train\.jsonl: read as split "train" and as split "test"\. Name a folder'):
        built(OWN | {"kind": "hh", "files": str(path)}, tmp_path / "out")


def test_tldr_takes_its_splits_from_a_column(tmp_path: Path) -> None:
    rows = []
    for number in range(60):
        texts = [{"text": f" one {number}"}, {"text": f" two {number}"}]
        split = "valid1" if number % 5 == 0 else "train"
        info = {"post": f"Post {number}"} if number % 10 else {"article": "News", "post": None}
        rows.append({"info": info, "summaries": texts, "choice": number % 2, "split": split})
    source = OWN | {
        "kind": "tldr",
        "files": str(write(tmp_path / "batch0.json", rows)),
        "splits": {"train": "train", "eval": "validation"},
    }
    parts, manifest = built(source, tmp_path / "paper")
    assert len(parts["train"]) + len(parts["judge"]) == 48
    assert [row["chosen"] for row in parts["eval"]] == [f" two {n}" if n % 2 else f" one {n}" for n in range(5, 60, 10)]
    assert manifest["counts"]["cnn_dm_validation"] == 6
    assert all(row["baseline"].startswith(" ") for row in parts["prompts"])
    parts, _ = built(source | {"reading": "code"}, tmp_path / "code")
    assert len(parts["eval"]) == 12
    assert sum(row["prompt"][0]["content"] == "" for row in parts["eval"]) == 6


def test_rows_in_canonical_columns_pairs_and_groups(tmp_path: Path) -> None:
    one_file = {"kind": "rows", "form": "pairs", "on_bad_row": "skip", "parts": {"train": 0.6, "eval": 0.4}}
    path = write(tmp_path / "pairs.jsonl", [*pairs(60), {"prompt": 3}])
    parts, manifest = built(one_file | {"files": str(path), "splits": {"train": None}}, tmp_path / "pairs")
    assert len(parts["train"]) + len(parts["eval"]) == 60
    assert manifest["counts"]["bad_rows"] == 1
    assert len(parts["pretrain"]) == 2 * len(parts["train"])

    groups = [{"prompt": f"Q{i}", "completions": ["a", "b", "c"], "scores": [1, i, 3]} for i in range(60)]
    path = write(tmp_path / "groups.jsonl", groups)
    source = one_file | {"form": "ranked", "files": str(path), "splits": {"train": None}}
    parts, _ = built(source, tmp_path / "groups")
    assert len(parts["pretrain"]) == 3 * len(parts["train"])
    assert {row["baseline"] for row in parts["prompts"]} <= {"b", "c"}


def test_ultrafeedback_is_cut_by_prompt(tmp_path: Path) -> None:
    folder = SHARED / "data/ultrafeedback"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: UltraFeedback's samples are not shipped with the code")
    source = {
        "kind": "ultrafeedback",
        "form": "ranked",
        "score_field": "overall_score_corrected",
        "on_bad_row": "stop",
        "files": str(folder / "ultrafeedback_binarized_train_1000.jsonl.gz"),
        "splits": {"train": None},
        "parts": {"train": 0.9, "eval": 0.1},
    }
    parts, manifest = built(source, tmp_path)
    assert manifest["rows"]["train"] + manifest["rows"]["eval"] == 1000
    assert set(parts["train"][0]) == {"prompt_id", "prompt", "completions", "scores"}
    full, manifest = built(source | {"parts": {"train": 1.0, "eval": 0.0}}, tmp_path / "full")
    assert (len(full["train"]), full["eval"], full["prompts"]) == (1000, [], []), "nobody answers: nothing is held out"


def test_a_benchmark_has_prompts_alone(tmp_path: Path) -> None:
    entries = [{"instruction": f"Do {i}", "output": f"done {i}", "dataset": "koala"} for i in range(40)]
    path = tmp_path / "gpt4.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    source = {"kind": "instructions", "set": "alpaca_eval", "files": {"gpt4_turbo": str(path)}, "n_prompts": 40}
    parts, manifest = built(source, tmp_path / "out")
    assert [len(parts[name]) for name in FILES] == [0, 0, 0, 0, 0, 40]
    assert parts["prompts"][1]["references"] == {"gpt4_turbo": "done 1"}
    assert parts["prompts"][1]["prompt_id"] == prompt_id([{"role": "user", "content": "Do 1"}])
    assert manifest["instructions"] == 40


def test_neither_files_nor_a_repo() -> None:
    with pytest.raises(UserError, match="Neither files nor a repo is given"):
        BUILDERS["hh"](ASKED | OWN | {"kind": "hh"})


@pytest.mark.parametrize(
    ("name", "folder", "questions", "answers", "n"),
    [
        ("mt_bench", "mt_bench", "question.jsonl", "reference_answer_gpt-4.jsonl", 80),
        ("arena_hard", "arena_hard", "question_v0.1.jsonl", "baseline_gpt-4-0314_answers.jsonl", 500),
    ],
)
def test_released_question_sets(name: str, folder: str, questions: str, answers: str, n: int, tmp_path: Path) -> None:
    at = SHARED / "data" / folder
    if not at.is_dir():
        pytest.skip(f"{at} is absent: the question sets are not shipped with the code")
    source = {"kind": "instructions", "set": name, "files": {"questions": str(at / questions)}, "n_prompts": n}
    with pytest.raises(UserError, match=f"files of {name} name no answers"):
        built(source, tmp_path)
    source["files"]["answers"] = str(at / answers)
    parts, _ = built(source, tmp_path)
    assert len(parts["prompts"]) == n
    few, manifest = built(source | {"n_prompts": 20}, tmp_path / "few")
    assert manifest["left_out"] == n - 20
    assert [row for row in parts["prompts"] if row in few["prompts"]] == few["prompts"]
    # The same folder can stand in for the hub's repository, whose files are named in the data set's own file.
    laid = {key: value for key, value in source.items() if key != "files"} | {"files": str(at)}
    parts, _ = built(laid | {"questions": f"data/{questions}", "answers": f"data/x/{answers}"}, tmp_path / "laid")
    assert len(parts["prompts"]) == n


@pytest.mark.parametrize("form", ["instructions", "mt_bench", "arena_hard"])
def test_a_worlds_questions_were_in_nobodys_training(form: str, tmp_path: Path) -> None:
    shares = {"train": 0.85, "eval": 0.15}
    source = {"kind": "world", "form": form, "seed": 0, "parts": shares, "n_prompts": 30}
    parts, _ = built(source, tmp_path)
    assert len(parts["prompts"]) == 30
    assert all(split_of(row["prompt_id"], shares, SALT) == "eval" for row in parts["prompts"])
    assert parts["train"] == []
