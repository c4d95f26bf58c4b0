"""Trainings of adapters as nodes of the DAG: their loss falls, and what they leave needs no peft."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from train_helpers import LIMITS, model_config, settings
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.inspect.push import files_of
from prefrepro.train import run, shared

NAMES = {"scale": "test", "reading": "paper", "dataset": "hh", "model": "mistral-7b", "code_digest": "0" * 64}
STEPS = 12


def spec_of(kind: str, method: str, **changes: Any) -> dict[str, Any]:
    values = {"max_steps": STEPS, "epochs": 6.0, "batch_size": 16, "lr": 3e-3, "lora_rank": 4}
    training = settings(**values | changes)
    return {
        "kind": kind, "method": method, "hparams": {}, "training": training, "seed": 1, "init": "", "part": "train",
        **NAMES,
    }  # fmt: skip


@pytest.fixture(scope="module")
def root(data_node: Path) -> Path:
    """A base model of every parameter; SFT, its reference, DPO and a reward model of adapters."""
    torch.set_num_threads(1)
    root = data_node.parent.parent / "lora"
    spec = {
        "kind": "base", "config": model_config("mistral", sliding_window=16), "vocab_size": 400, "seed": 0,
        "training": settings(max_steps=3), "hparams": {}, "part": "pretrain", **NAMES,
    }  # fmt: skip
    run.pretrain(spec, {"data": data_node}, root / "base/tiny")
    start = {"data": data_node, "init": root / "base/tiny"}
    run.align(spec_of("sft", "sft"), start, root / "runs/sft")
    ref = {"dtype": "float32", "micro_batch": 8, "init": "", "threads": 1, **dataclasses.asdict(LIMITS)}
    inputs = {"data": data_node, "init": root / "runs/sft"}
    shared.reference(ref, inputs, root / "reference/sft")
    run.align(spec_of("run", "dpo"), inputs | {"reference": root / "reference/sft"}, root / "runs/dpo")
    run.align(spec_of("reward_model", "bradley_terry"), start, root / "runs/rm")
    rollout = {"responses": "policy", "ppo_epochs": 1, "minibatches": 1, "max_head_grad_norm": 0.1, "max_new_tokens": 8}
    roles = inputs | {"reference": root / "reference/sft", "reward_model": root / "runs/rm"}
    run.align(spec_of("run", "ppo", rollout=rollout, max_steps=2), roles, root / "runs/ppo")
    return root


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [float(line["loss"]) for line in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["sft", "dpo", "rm"])
def test_adapters_alone_lower_the_loss(name: str, root: Path) -> None:
    found = losses(root / "runs" / name)
    assert len(found) == STEPS
    assert sum(found[-3:]) < sum(found[:3]) - 0.1


def test_dpo_starts_where_its_reference_stands(root: Path) -> None:
    """log 2: adapters that are nothing yet, beside log-probs from the node that full trainings share."""
    assert losses(root / "runs/dpo")[0] == pytest.approx(0.6931472, abs=1e-5)


@pytest.mark.parametrize("name", ["sft", "dpo", "ppo", "rm"])
def test_the_saved_model_is_plain_and_is_the_base_with_its_adapter(name: str, root: Path) -> None:
    family = AutoModelForSequenceClassification if name == "rm" else AutoModelForCausalLM
    folder = root / "runs" / name
    merged = family.from_pretrained(folder / "model")
    config = json.loads((folder / "adapter/adapter_config.json").read_text(encoding="utf-8"))
    named = config["base_model_name_or_path"]
    assert named == ("tiny" if name in ("sft", "rm") else "sft")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.0)
    start = root / ("base" if named == "tiny" else "runs") / named / "model"
    base = family.from_pretrained(start, **({"num_labels": 1} if name == "rm" else {}))
    with_adapter = PeftModel.from_pretrained(base, str(folder / "adapter"))
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        found, expected = merged(input_ids=ids).logits, with_adapter(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    weights = load_file(folder / "model/model.safetensors")
    assert not [key for key in weights if "lora" in key or "base_layer" in key]
    kept = load_file(start / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(weights["model.embed_tokens.weight"], kept)


def test_the_adapter_is_small_and_stays_here(root: Path) -> None:
    folder = root / "runs/dpo"
    assert sorted(path.name for path in (folder / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    assert not [name for name in files_of(folder) if "adapter" in name], "push needs no peft"


def test_the_manifest_says_what_was_trained(root: Path) -> None:
    found = json.loads((root / "runs/dpo/run.json").read_text(encoding="utf-8"))
    assert found["spec"]["training"]["lora_rank"] == 4
    # hidden 16, intermediate 32, one key-value head of 8: q, k, v, o, gate, up, down
    sides = [(16, 16), (16, 8), (16, 8), (16, 16), (16, 32), (16, 32), (32, 16)]
    assert found["adapters"]["trained_parameters"] == 4 * sum(a + b for a, b in sides)
    assert (found["adapters"]["rank"], found["adapters"]["alpha"]) == (4, 8)
    assert "peft" in json.loads(found["row"]["versions"])
    base = json.loads((root / "base/tiny/run.json").read_text(encoding="utf-8"))
    assert "adapters" not in base and "peft" not in base["row"]["versions"]


def test_the_same_node_gives_the_same_bytes(root: Path, data_node: Path) -> None:
    inputs = {"data": data_node, "init": root / "runs/sft", "reference": root / "reference/sft"}
    run.align(spec_of("run", "dpo"), inputs, root / "runs/again")
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert sha256_file(root / "runs/dpo" / name) == sha256_file(root / "runs/again" / name)


def test_frozen_weights_in_bfloat16_are_trained_over(root: Path, data_node: Path) -> None:
    inputs = {"data": data_node, "init": root / "runs/sft", "reference": root / "reference/sft"}
    run.align(spec_of("run", "dpo", compute_dtype="bfloat16"), inputs, root / "runs/narrow")
    found = losses(root / "runs/narrow")
    assert sum(found[-3:]) < sum(found[:3]) - 0.1
    weights = load_file(root / "runs/narrow/model/model.safetensors")
    assert {one.dtype for one in weights.values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="would be trained here")
def test_weights_in_4_bit_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    spec = spec_of("run", "dpo", quantize="nf4")
    nowhere = {role: tmp_path / role for role in ("data", "init", "reference")}
    with pytest.raises(UserError, match="quantize is nf4, which wants a CUDA device"):
        run.align(spec, nowhere, tmp_path / "runs/dpo")
    assert not list(tmp_path.iterdir())
