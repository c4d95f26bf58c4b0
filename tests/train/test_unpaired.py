"""Trainings on single completions with a label, M good and N bad ones, from the file to a trained model."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from test_run import NAMES, spec_of
from train_helpers import LIMITS, model_config, settings

from prefrepro.data.build import build
from prefrepro.errors import UserError
from prefrepro.model.align import start
from prefrepro.model.batches import sequences_of
from prefrepro.model.examples import read_rows
from prefrepro.model.load import load_tokenizer
from prefrepro.model.unpaired import unpaired_learner
from prefrepro.train import run, shared

M, N = 41, 23
METHODS = ("bco", "kto", "kto_simple", "kto_zero")


def source_of(folder: Path, n_good: int = M, n_bad: int = N, **changes: Any) -> dict[str, Any]:
    good = [(f"Question {n // 2}?", f"A good answer, {n}.", True) for n in range(n_good)]
    bad = [(f"Question {n // 3}?", f"Bad {n}", False) for n in range(n_bad)]
    rows = [dict(zip(("prompt", "completion", "label"), row, strict=True)) for row in good + bad]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "kind": "rows", "form": "unpaired", "columns": {}, "files": str(file), "on_bad_row": "stop",
        "parts": {"train": 1.0, "eval": 0.0}, "n_prompts": 8, "prompt_batch": 4, "order_seed": 1, **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data, the same prompts with completions of others, SFT, and the reference's log-probs of both."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("unpaired") / "results"
    root.mkdir()
    data, other, base, sft = (root / name for name in ("data/d", "data/o", "base/tiny", "runs/sft"))
    source = source_of(root)
    build({"source": source}, {}, data)
    build({"source": source | {"completions": "of_another_prompt"}}, {}, other)
    spec = {
        "kind": "base", "config": model_config(), "vocab_size": 300, "seed": 0, "hparams": {}, "part": "pretrain",
        "pairs": None, "training": settings(max_steps=2), **NAMES,
    }  # fmt: skip
    run.pretrain(spec, {"data": data}, base)
    run.align(spec_of("sft", "sft") | {"pairs": "unpaired"}, {"data": data, "init": base}, sft)
    reference = {**dataclasses.asdict(LIMITS), "dtype": "float32", "micro_batch": 8, "init": "", "threads": 1}
    for name, of in (("r", data), ("ro", other)):
        shared.reference(reference | {"parts": ["train"]}, {"data": of, "init": sft}, root / "reference" / name)
    refs = {"reference": root / "reference/r", "reference_other": root / "reference/ro"}
    return {"data": data, "other": other, "init": sft, **refs}


def test_rows_are_groups_of_one(inputs: dict[str, Path]) -> None:
    rows = read_rows(inputs["data"] / "train.jsonl")
    assert Counter(tuple(row["scores"]) for row in rows) == {(1.0,): M, (0.0,): N}
    others = read_rows(inputs["other"] / "train.jsonl")
    assert [row["prompt_id"] for row in others] == [row["prompt_id"] for row in rows]
    own = {(row["prompt_id"], row["completions"][0]) for row in rows}
    assert not own & {(row["prompt_id"], row["completions"][0]) for row in others}
    assert json.loads((inputs["data"] / "manifest.json").read_text())["counts"]["rows"] == M + N


@pytest.mark.parametrize("name", METHODS)
def test_a_training_that_does_not_move_has_the_references_log_probs(
    name: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    """Rewards of 0 say that each response meets its own reference log-prob."""
    run.align(spec_of("run", name, lr=0.0) | {"pairs": "unpaired"}, inputs, tmp_path / "runs" / name)
    with (tmp_path / "runs" / name / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (N // 8 if name == "kto_simple" else 3)
    found = [float(row[f"rewards/{side}"]) for row in rows for side in ("chosen", "rejected") if row[f"rewards/{side}"]]
    assert found == pytest.approx([0.0] * len(found), abs=1e-5)


@pytest.mark.parametrize(("name", "steps"), [("kto_zero", (M + N) // 8), ("kto_simple", N // 8), ("sft", 21 // 8)])
def test_an_epoch_takes_every_response_once(name: str, steps: int, inputs: dict[str, Path]) -> None:
    spec = spec_of("run", name) | {"pairs": "unpaired"}
    spec |= {"training": settings(max_steps=None)}
    folder, tokenizer = inputs["init"] / "model", load_tokenizer(inputs["init"] / "model")
    learner = unpaired_learner(start(spec, inputs, folder, tokenizer), spec, inputs, tokenizer)
    assert learner.steps == steps
    drawn = [learner.rows_of(step) for step in range(steps)]
    for side, most in (("chosen", M), ("rejected", N)):
        numbers = [row for rows in drawn for row in getattr(rows, side)]
        assert len(numbers) == len(set(numbers))
        assert not numbers or max(numbers) < most
    sequences = [one for rows in drawn for one in sequences_of(rows, learner.inputs, learner.objective.needs)]
    texts = {tokenizer.decode(one.response_ids) for one in sequences}
    assert any("good" in text for text in texts)
    assert any("Bad" in text for text in texts) == (name != "sft")
    assert [row.chosen for row in drawn] != [learner.rows_of(steps).chosen]
    assert learner.prompts(0)


def test_one_side_that_fills_no_batch_is_said(inputs: dict[str, Path], tmp_path: Path) -> None:
    build({"source": source_of(tmp_path, 3, 40)}, {}, tmp_path / "data")
    spec = spec_of("sft", "sft") | {"pairs": "unpaired"}
    with pytest.raises(UserError, match="3 completions labelled good and 40 labelled bad cannot fill one batch of 8"):
        run.align(spec, {"data": tmp_path / "data", "init": inputs["init"]}, tmp_path / "runs/x")


def test_prompts_to_answer_are_those_with_a_good_completion(tmp_path: Path) -> None:
    source = source_of(tmp_path, 40, 60, parts={"train": 0.5, "eval": 0.5}, n_prompts=4)
    build({"source": source}, {}, tmp_path / "data")
    prompts = read_rows(tmp_path / "data/prompts.jsonl")
    assert len(prompts) == 4
    assert all(row["baseline"].startswith("A good answer") for row in prompts)
    with pytest.raises(UserError, match="prompts with a completion that is labelled good, but 400 are to be sampled"):
        build({"source": source | {"n_prompts": 400}}, {}, tmp_path / "more")


def test_one_prompt_has_no_other(tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({"prompt": "Q?", "completion": "A", "label": True}) + "\n")
    source = source_of(tmp_path) | {"files": str(file), "completions": "of_another_prompt"}
    with pytest.raises(UserError, match="all 1 training rows have one prompt"):
        build({"source": source}, {}, tmp_path / "data")
