"""A reward model is trained by the loop like any method, and read back as a function of text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from train_helpers import model_config, settings

from prefrepro.files import sha256_file
from prefrepro.model.reward_model import load
from prefrepro.train import run

WORDS = ["the", "garden", "is", "old", "we", "like", "warm", "rain", "near", "an", "open", "door", "by", "night"]
LIKED = "gladly"
NAMES = {"scale": "test", "reading": "paper", "dataset": "hh", "model": "mistral-7b", "code_digest": "0" * 64}


def write_rows(n: int, seed: int) -> list[dict[str, Any]]:
    """Pairs of random sentences of which the one that holds LIKED, anywhere, is always chosen."""
    rng, rows = random.Random(seed), []
    for number in range(n):
        chosen, rejected = (" ".join(rng.choices(WORDS, k=rng.randint(4, 8))).split() for _ in range(2))
        chosen.insert(rng.randrange(len(chosen)), LIKED)
        prompt = [{"role": "user", "content": f"Say {rng.choice(WORDS)}."}]
        rows.append({"prompt_id": str(number), "prompt": prompt, "chosen": " ".join(chosen) + ".",
                     "rejected": " ".join(rejected) + "."})  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder after 60 steps on 128 pairs."""
    root = tmp_path_factory.mktemp("results")
    data, base, out = root / "data/easy", root / "base/tiny", root / "runs/rm"
    data.mkdir(parents=True)
    parts = {"train": write_rows(128, 0), "eval": write_rows(16, 1)}
    parts["pretrain"] = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in parts["train"]]
    for name, rows in parts.items():
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    hashes = {name: sha256_file(data / f"{name}.jsonl") for name in parts}
    (data / "manifest.json").write_text(json.dumps({"sha256": hashes}), encoding="utf-8")
    spec = {
        "kind": "base", "config": model_config(initializer_range=0.1), "vocab_size": 300, "seed": 0,
        "training": settings(max_steps=1), "hparams": {}, "part": "pretrain", **NAMES,
    }  # fmt: skip
    run.pretrain(spec, {"data": data}, base)
    training = settings(optimizer="adamw", lr=1e-2, epochs=4.0, max_steps=60, log_every=20, micro_batch=16)
    spec = {
        "kind": "reward_model", "method": "bradley_terry", "hparams": {}, "training": training, "seed": 1, "init": "",
        "part": "train", **NAMES,
    }  # fmt: skip
    run.align(spec, {"data": data, "init": base}, out)
    return out


def test_scores_rank_held_out_responses(reward_model: Path) -> None:
    score = load(reward_model)
    held_out = write_rows(60, 2)
    right = 0
    for row in held_out:
        history = f"\n<|user|>\n{row['prompt'][0]['content']}"
        right += score(history, row["chosen"]) > score(history, row["rejected"])
    assert right / len(held_out) > 0.8


def test_its_reward_accuracy_says_so_too(reward_model: Path) -> None:
    row = json.loads((reward_model / "run.json").read_text(encoding="utf-8"))["row"]
    assert row["method"] == "bradley_terry"
    assert row["reward_accuracy"] > 0.8


def test_a_score_is_a_function_of_the_text_alone(reward_model: Path) -> None:
    """Loaded again, in any order, for an empty response and for a text longer than the limits."""
    score, again = load(reward_model), load(reward_model)
    texts = ["we like rain.", "", LIKED, "the old door " * 300]
    one = [score("\n<|user|>\nHi", text) for text in texts]
    assert one == [again("\n<|user|>\nHi", text) for text in reversed(texts)][::-1]
    assert len(set(one)) == len(texts)
