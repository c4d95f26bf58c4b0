"""Rewards of the reference's own responses to the training prompts, once for all runs that share them.

What an estimate of log Z(x) is made of. Knows nothing of β or of that formula, so that runs of any β share them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.files import write_json
from prefrepro.model.batches import first_of_each_prompt
from prefrepro.model.examples import encode_pairs, read_rows
from prefrepro.model.load import checkpoint_of, load_model, load_tokenizer
from prefrepro.model.seeds import seed_for
from prefrepro.model.tensors import save_tensors
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.train.run import limits_of, rewarded_responder


def compute(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """reference_rewards.safetensors: `train` (rows, S), of S responses to each row's prompt; rows of one prompt share.

    `inputs`: data, init, reward_model. Responses are sampled at temperature 1 from (seed, draw) alone, so that more
    samples begin with those of fewer. Raises UserError where the reward model gives no number.
    """
    started = time.perf_counter()
    torch.set_num_threads(spec["threads"])
    init = checkpoint_of(inputs, "init", spec["init"])
    tokenizer, model = load_tokenizer(init), load_model(init, spec["dtype"])
    pairs = encode_pairs(read_rows(inputs["data"] / "train.jsonl"), tokenizer, limits_of(spec))
    firsts = first_of_each_prompt(pairs.prompt_ids)
    prompts = [pairs.chosen[row].prompt_ids for row in firsts]
    room = spec["max_length"], spec["max_new_tokens"]
    respond = rewarded_responder(model, tokenizer, inputs["reward_model"], *room, spec["micro_batch"])
    draws = tqdm(range(spec["samples"]), unit="draw", disable=None)
    drawn = [respond(prompts, seed_for(spec["seed"], f"reference_rewards/{draw}")) for draw in draws]
    rewards = torch.stack([values for _, values in drawn], dim=1).float().cpu()  # (U, S)
    if not rewards.isfinite().all():
        row = firsts[int((~rewards.isfinite()).any(dim=1).nonzero()[0])]
        model_folder = inputs["reward_model"] / "model"
        raise UserError(
            f"{model_folder} gives NaN or infinity for a response to prompt {pairs.prompt_ids[row][:12]}; "
            "expected a finite reward. Look at the metrics.csv of that reward model, and train it again"
        )
    place = {pairs.prompt_ids[row]: number for number, row in enumerate(firsts)}
    save_tensors(
        {"train": rewards[[place[prompt] for prompt in pairs.prompt_ids]]}, out / "reference_rewards.safetensors"
    )
    tokens = [len(sequence.response_ids) for responses, _ in drawn for sequence in responses]
    manifest = {"spec": spec, "prompts": len(prompts), "mean_tokens": sum(tokens) / len(tokens), **noise(rewards)}
    write_json(out / "manifest.json", manifest | {"wall_s": time.perf_counter() - started})


def noise(rewards: Tensor) -> dict[str, dict[str, float | None]]:
    """How far (U, S) rewards tell prompts apart, in the reward's unit: standard deviations over prompts.

    β · log Z(x), up to a constant, lies between the mean of the rewards (β → ∞) and their largest (β → 0): of both,
    `between_prompts` of the estimate, and `between_halves` of the difference of two estimates from half the samples
    each (None of one sample). An estimate whose halves differ as prompts do says nothing of the prompts.
    """
    half = rewards.shape[1] // 2
    found: dict[str, dict[str, float | None]] = {"between_prompts": {}, "between_halves": {}}
    for name, value in {"mean": lambda r: r.mean(dim=1), "largest": lambda r: r.amax(dim=1)}.items():
        found["between_prompts"][name] = float(value(rewards).std(correction=0))
        halves = (value(rewards[:, :half]) - value(rewards[:, half : 2 * half])) if half else None
        found["between_halves"][name] = None if halves is None else float(halves.std(correction=0))
    return found
