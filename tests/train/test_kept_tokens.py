"""Token ids of a large file of rows: kept beside it for later jobs, whole, and never those of something else."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from train_helpers import tokenizer, world_rows

from prefrepro.data.truncate import Limits
from prefrepro.model import examples
from prefrepro.model.examples import Groups, Pairs, RowFile, encode_groups, encode_pairs, mismatched
from prefrepro.model.load import load_tokenizer

WIDE = Limits(max_length=1000, max_prompt_length=500, truncation_mode="keep_end")
KINDS = {
    "pairs": lambda read, limits: encode_pairs(read, tokenizer(), limits),
    "mismatched": lambda read, limits: encode_pairs(
        mismatched(read), tokenizer(), limits, read.kept(tokenizer(), limits, "mismatched")
    ),
    "groups": lambda read, limits: encode_groups(read, tokenizer(), limits),
}


def content(found: Pairs | Groups) -> dict[str, Any]:
    return {
        field.name: list(value) if isinstance(value := getattr(found, field.name), Sequence) else value
        for field in dataclasses.fields(found)
    }


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RowFile]:
    """A file of rows whose token ids are kept beside it."""
    monkeypatch.setattr(examples, "LARGE", 0)

    def write(rows: list[dict[str, Any]]) -> RowFile:
        file = tmp_path / "train.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return RowFile(file)

    return write


def rows_for(kind: str, n: int = 30) -> list[dict[str, Any]]:
    if kind != "groups":
        return world_rows(n)
    return [
        {"prompt_id": row["prompt_id"], "prompt": row["prompt"], "completions": [row["rejected"], row["chosen"]],
         "scores": [0.1, 0.9]} for row in world_rows(n)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_job_reads_the_token_ids_of_the_first(
    kind: str, large: Callable[..., RowFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reads nothing else: there is no text that it could tokenise."""
    read, limits = large(rows_for(kind)), Limits(30, 20, "keep_end")
    first = content(KINDS[kind](read, limits))
    (kept,) = tmp_path.glob(".train-*.tokens")
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, "train.jsonl"]
    monkeypatch.setattr(examples, "encode", None)
    assert content(KINDS[kind](read, limits)) == first


def test_kept_token_ids_are_of_this_text_tokenizer_and_limits_alone(
    large: Callable[..., RowFile], tmp_path: Path
) -> None:
    read, limits, other = large(world_rows(30)), Limits(30, 20, "keep_end"), copy.deepcopy(tokenizer())
    names = {read.kept(tokenizer(), limits), read.kept(tokenizer(), WIDE), read.kept(tokenizer(), limits, "mismatched")}
    other.chat_template = "{{ messages[0]['content'] }}"
    names.add(read.kept(other, limits))
    names.add(large(world_rows(31)).kept(tokenizer(), limits))
    assert len(names) == 5 and None not in names
    saved = tmp_path / "saved"
    tokenizer().save_pretrained(saved)
    assert large(world_rows(30)).kept(load_tokenizer(saved), limits) in names, "a model's copy of it is the same"


@pytest.mark.parametrize("tear", [lambda b: b[:-5], lambda b: b[:9] + bytes([b[9] ^ 1]) + b[10:], lambda b: b""])
def test_torn_token_ids_are_made_anew(
    tear: Callable[[bytes], bytes], large: Callable[..., RowFile], tmp_path: Path
) -> None:
    read = large(world_rows(30))
    whole = content(encode_pairs(read, tokenizer(), WIDE))
    (kept,) = tmp_path.glob(".train-*.tokens")
    bytes_ = kept.read_bytes()
    kept.write_bytes(tear(bytes_))
    assert content(encode_pairs(read, tokenizer(), WIDE)) == whole
    assert kept.read_bytes() == bytes_


def test_a_small_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps(world_rows(1)[0]) + "\n", encoding="utf-8")
    encode_pairs(RowFile(tmp_path / "train.jsonl"), tokenizer(), WIDE)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]
