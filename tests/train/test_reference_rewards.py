"""Rewards of the reference's own responses: what the node holds, and what a method that wants them trains on."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_run import NAMES, embedder_spec, metrics, spec_of
from train_helpers import LIMITS, model_config, settings

from prefrepro.errors import UserError
from prefrepro.model.examples import read_rows
from prefrepro.model.reference_rewards import noise
from prefrepro.train import run, shared

SPEC = {
    **dataclasses.asdict(LIMITS), "dtype": "float32", "micro_batch": 16, "init": "", "threads": 1, "seed": 1,
    "samples": 4, "max_new_tokens": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def roles(data_node: Path) -> dict[str, Path]:
    """data, init, reward_model: a base model, and a reward model made of it. Two rows share a prompt."""
    torch.set_num_threads(1)
    root = data_node.parent.parent / "with-log-z"
    data, base, reward_model = root / "data", root / "base", root / "runs/reward-model"
    data.mkdir(parents=True)
    for file in data_node.iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    lines = (data / "train.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    lines[-1] = json.dumps(last | {"prompt": first["prompt"], "prompt_id": first["prompt_id"]})
    (data / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = {
        "kind": "base", "config": model_config("mistral"), "vocab_size": 400, "seed": 0, "part": "pretrain",
        "training": settings(max_steps=2), "hparams": {}, **NAMES,
    }  # fmt: skip
    run.pretrain(spec, {"data": data}, base)
    run.align(spec_of("reward_model", "bradley_terry"), {"data": data, "init": base}, reward_model)
    return {"data": data, "init": base, "reward_model": reward_model}


def rewards_of(roles: dict[str, Path], out: Path, **changes: Any) -> torch.Tensor:
    shared.reference_rewards(SPEC | changes, roles, out)
    return load_file(out / "reference_rewards.safetensors")["train"]


def test_every_row_has_the_rewards_of_its_prompts_responses(roles: dict[str, Path], tmp_path: Path) -> None:
    rewards = rewards_of(roles, tmp_path / "four")
    prompts = [row["prompt_id"] for row in read_rows(roles["data"] / "train.jsonl")]
    assert rewards.shape == (len(prompts), 4)
    assert rewards.isfinite().all()
    assert prompts[0] == prompts[-1]
    assert torch.equal(rewards[0], rewards[-1])
    assert len({tuple(row.tolist()) for row in rewards}) == len(set(prompts)), "other prompts have other responses"
    assert all(len(set(row.tolist())) > 1 for row in rewards), "and draws of one prompt differ"
    manifest = json.loads((tmp_path / "four/manifest.json").read_text(encoding="utf-8"))
    assert manifest["prompts"] == len(set(prompts))
    assert 0 < manifest["mean_tokens"] <= 8
    assert manifest["between_halves"]["mean"] > 0


def test_the_same_seed_draws_the_same_and_fewer_samples_are_the_first(roles: dict[str, Path], tmp_path: Path) -> None:
    four, two, other = (
        rewards_of(roles, tmp_path / str(number), **changes)
        for number, changes in enumerate(({}, {"samples": 2}, {"seed": 2}))
    )
    assert torch.equal(four[:, :2], two)
    assert not torch.equal(four, other)


def test_a_reward_that_is_no_number_is_refused(roles: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "runs/broken"
    for file in (roles["reward_model"] / "model").iterdir():
        target = broken / "model" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    weights = broken / "model/model.safetensors"
    tensors = load_file(weights)
    save_file(tensors | {"score.weight": tensors["score.weight"] * math.nan}, weights, {"format": "pt"})
    with pytest.raises(UserError, match=r"broken/model gives NaN or infinity for a response to prompt \w{12}"):
        shared.reference_rewards(SPEC, roles | {"reward_model": broken}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_noise_by_hand() -> None:
    """Two prompts, two halves of one sample: means 1 and 5, largest 2 and 6; halves differ by -2 in both: no spread.

    With one sample there are no halves.
    """
    found = noise(torch.tensor([[0.0, 2], [4, 6]]))
    assert found["between_prompts"] == {"mean": 2, "largest": 2}
    assert found["between_halves"] == {"mean": 0, "largest": 0}
    assert noise(torch.tensor([[0.0, 2], [6, 4]]))["between_halves"] == {"mean": 2, "largest": 2}
    assert noise(torch.ones(2, 1))["between_halves"] == {"mean": None, "largest": None}


def test_a_run_learns_from_them(roles: dict[str, Path], tmp_path: Path) -> None:
    """At lr 0 every log-ratio is 0, so that what tells rpo_z from rpo_paired is log Z(x) alone."""
    limits = dataclasses.asdict(LIMITS)
    rewards_of(roles, tmp_path / "reference_rewards")
    inputs = {"data": roles["data"], "init": roles["init"], "reference": tmp_path / "reference"}
    spec = {**limits, "dtype": "float32", "micro_batch": 8, "init": "", "threads": 1}
    shared.reference(spec, inputs, tmp_path / "reference")
    spec = limits | {"text": "prompt", "tokenizer": "", "embedder": embedder_spec()}
    shared.embeddings(spec, {"data": roles["data"], "tokenizer": roles["init"]}, tmp_path / "embeddings")
    inputs |= {"embeddings": tmp_path / "embeddings", "reference_rewards": tmp_path / "reference_rewards"}
    run.align(spec_of("run", "rpo_paired", lr=0.0), inputs, tmp_path / "runs/rpo-paired")
    run.align(spec_of("run", "rpo_z", lr=0.0), inputs, tmp_path / "runs/rpo-z")
    run.align(spec_of("run", "rpo_z"), inputs, tmp_path / "runs/rpo-z-moved")
    level, with_z = (metrics(tmp_path / f"runs/{name}") for name in ("rpo-paired", "rpo-z"))
    assert all(float(line["loss"]) == pytest.approx(math.log(2), abs=1e-4) for line in level)
    assert all(float(line["loss"]) > math.log(2) + 1e-4 for line in with_z), "-logσ is convex"
    assert all(math.isfinite(float(line["loss"])) for line in metrics(tmp_path / "runs/rpo-z-moved"))

    for role, name in (("reference_rewards", "train"), ("embeddings", "index"), ("reference", "eval")):
        path = tmp_path / role / f"{role}.safetensors"
        save_file({key: tensor[:-1] if key == name else tensor for key, tensor in load_file(path).items()}, path)
        with pytest.raises(UserError, match=rf"{role}\.safetensors: {name} holds \d+ rows; expected \d+"):
            run.align(spec_of("run", "rpo_z"), inputs, tmp_path / "runs/refused")
