"""The data node: parts without common prompts, the prompts that every model answers, counts and hashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefrepro.data.build import build
from prefrepro.data.splits import eval_prompt_order
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.model.examples import read_rows

FILES = ("pretrain", "train", "eval", "dev", "judge", "prompts")


def world(**changes: Any) -> dict[str, Any]:
    """The source of a small world with all three parts."""
    source = {
        "kind": "world", "task": "dialogue", "form": "pairs", "seed": 0, "temperature": 1.0,
        "rows": {"pretrain": 30, "train": 300, "eval": 60, "judge": 40},
        "parts": {"train": 0.7, "eval": 0.15, "judge": 0.15},
        "n_prompts": 20, "prompt_batch": 8, "order_seed": 1, "reading": "paper",
    }  # fmt: skip
    return source | changes


def built(source: dict[str, Any], folder: Path) -> dict[str, list[dict[str, Any]]]:
    build({"source": source}, {}, folder)
    return {name: read_rows(folder / f"{name}.jsonl") for name in FILES}


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def assert_no_prompt_in_two_parts(parts: dict[str, list[dict[str, Any]]]) -> None:
    seen: dict[str, str] = {}
    for part in ("train", "eval", "judge"):
        for row in parts[part]:
            assert row["prompt_id"] == prompt_id(row["prompt"])
            assert seen.setdefault(row["prompt_id"], part) == part


@pytest.mark.parametrize("task", ["dialogue", "summary"])
@pytest.mark.parametrize("form", ["pairs", "ranked"])
def test_parts_of_a_world(task: str, form: str, tmp_path: Path) -> None:
    source = world(task=task, form=form)
    parts = built(source, tmp_path)
    assert {name: len(parts[name]) for name in source["rows"]} == source["rows"]
    assert_no_prompt_in_two_parts(parts)
    columns = {"chosen", "rejected"} if form == "pairs" else {"completions", "scores"}
    assert all(set(row) == {"prompt_id", "prompt"} | columns for row in parts["train"])
    assert all(set(row) == {"prompt", "completion"} for row in parts["pretrain"])


def test_manifest_holds_counts_and_hashes(tmp_path: Path) -> None:
    parts = built(world(), tmp_path)
    found = manifest(tmp_path)
    assert found["rows"] == {name: len(parts[name]) for name in FILES}
    assert found["sha256"] == {name: sha256_file(tmp_path / f"{name}.jsonl") for name in FILES}
    assert found["spec"] == {"source": world()}
    assert found["counts"]["bad_rows"] == 0


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    built(world(), tmp_path / "one")
    built(world(), tmp_path / "two")
    built(world(seed=1), tmp_path / "other")
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")
    assert manifest(tmp_path / "one")["sha256"]["train"] != manifest(tmp_path / "other")["sha256"]["train"]


def test_more_rows_begin_with_the_fewer(tmp_path: Path) -> None:
    """A larger training set of one world holds the smaller; its evaluation is the same."""
    few = built(world(), tmp_path / "few")
    many = built(world(rows={"pretrain": 30, "train": 500, "eval": 60, "judge": 40}), tmp_path / "many")
    assert many["train"][:300] == few["train"]
    assert (many["eval"], many["prompts"]) == (few["eval"], few["prompts"])


@pytest.mark.parametrize("form", ["pairs", "ranked"])
def test_prompts_are_in_the_released_order_with_their_baseline(form: str, tmp_path: Path) -> None:
    """eval_prompt_order is held against golden vectors in test_splits.py; here it is applied to unique prompts."""
    parts = built(world(form=form), tmp_path)
    first: dict[str, dict[str, Any]] = {}
    for row in parts["eval"]:
        first.setdefault(row["prompt_id"], row)
    unique = list(first.values())
    expected = [unique[index] for index in eval_prompt_order(len(unique), 20, 8, 1)[:20]]
    assert [row["prompt_id"] for row in parts["prompts"]] == [row["prompt_id"] for row in expected]
    assert len({row["prompt_id"] for row in parts["prompts"]}) == 20
    for found, row in zip(parts["prompts"], expected, strict=True):
        if form == "pairs":
            assert found["baseline"] == row["chosen"]
        else:
            best = max(row["scores"])
            assert found["baseline"] == row["completions"][row["scores"].index(best)]


def test_too_few_evaluation_prompts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unique evaluation prompts, but 100 are to be sampled"):
        build({"source": world(n_prompts=100)}, {}, tmp_path)


def test_prompts_that_would_come_twice_are_refused(tmp_path: Path) -> None:
    """A pass serves full batches only, and the judge takes each prompt once: said here, not after all trainings."""
    parts = built(world(), tmp_path / "enough")
    n = len({row["prompt_id"] for row in parts["eval"]})
    batch = n // 2 + 1
    with pytest.raises(UserError, match=rf"{n} unique evaluation prompts"):
        build({"source": world(n_prompts=n, prompt_batch=batch)}, {}, tmp_path)


def test_rows_for_a_part_that_has_no_share_are_refused(tmp_path: Path) -> None:
    """Else the stream, which has no end, would be read for ever."""
    with pytest.raises(UserError, match=r'"judge" wants 40 rows'):
        build({"source": world(parts={"train": 0.8, "eval": 0.2})}, {}, tmp_path)


def write_transcripts(path: Path, n: int) -> None:
    """Two comparisons for each of n // 2 prompts."""
    lines = []
    for number in range(n):
        head = f"\n\nHuman: Question {number // 2}?\n\nAssistant:"
        lines.append(json.dumps({"chosen": f"{head} Good {number}.", "rejected": f"{head} Bad {number}."}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def hh(path: Path, **changes: Any) -> dict[str, Any]:
    source = {
        "kind": "hh", "files": str(path), "on_bad_row": "stop", "parts": {"train": 0.7, "eval": 0.15, "judge": 0.15},
        "n_prompts": 8, "prompt_batch": 4, "order_seed": 1, "reading": "paper",
    }  # fmt: skip
    return source | changes


def test_transcripts_from_a_file_are_split_by_prompt(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write_transcripts(path, 300)
    parts = built(hh(path), tmp_path / "out")
    assert_no_prompt_in_two_parts(parts)
    sizes = {name: len(parts[name]) for name in ("train", "eval", "judge")}
    assert sum(sizes.values()) == 300
    assert all(size % 2 == 0 for size in sizes.values()), "both comparisons of a prompt go to one part"
    assert min(sizes.values()) > 0
    assert sizes["train"] > 150
    assert len(parts["pretrain"]) == 2 * sizes["train"]
    texts = {row["completion"] for row in parts["pretrain"]}
    assert texts == {row[side] for row in parts["train"] for side in ("chosen", "rejected")}
    assert len(parts["prompts"]) == 8
    found = manifest(tmp_path / "out")
    assert found["counts"] == {"bad_rows": 0, "duplicate_prompts": 150, "rows": 300, "unique_prompts": 150}
    assert found["sha256"]["judge"] == sha256_file(tmp_path / "out/judge.jsonl")


def test_a_bad_transcript_stops_or_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write_transcripts(path, 300)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"chosen": 3}\n')
    with pytest.raises(UserError, match=r"train\.jsonl, line 301: "):
        build({"source": hh(path)}, {}, tmp_path / "out")
    built(hh(path, on_bad_row="skip"), tmp_path / "out")
    assert manifest(tmp_path / "out")["counts"]["bad_rows"] == 1
