"""Rewards of the reference's own responses to the training prompts, for all runs that share them.

An estimate of log Z(x) is made of them. Neither β nor that formula enters them, so that runs of any β share them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError
from prefrepro.model.batches import first_of_each_prompt
from prefrepro.model.examples import RowFile, encode_pairs
from prefrepro.model.load import load_model
from prefrepro.model.respond import responder, rewarding
from prefrepro.model.seeds import seed_for


def sampled_rewards(
    spec: dict[str, Any], inputs: dict[str, Path], init: Path, tokenizer: Any, draws: Iterable[int]
) -> tuple[Tensor, dict[str, Any]]:
    """Rewards (rows, S) of S responses to each row's prompt, one per draw, and what the manifest says of them.

    Rows of one prompt share their responses. These are sampled at temperature 1 from (seed, draw) alone, so that more
    samples begin with those of fewer. Raises UserError where the reward model gives no number.
    """
    torch.set_num_threads(spec["threads"])
    pairs = encode_pairs(RowFile(inputs["data"] / "train.jsonl"), tokenizer, limits_of(spec))
    model = load_model(init, spec["dtype"])
    firsts = first_of_each_prompt(pairs.prompt_ids)
    prompts = [pairs.chosen[row].prompt_ids for row in firsts]
    room = spec["max_length"], spec["max_new_tokens"]
    score = partial(rewarding(inputs["reward_model"], tokenizer, "float32").score_all, batch_size=spec["micro_batch"])
    respond = responder(model, tokenizer, score, *room, spec["micro_batch"])
    drawn = [respond(prompts, seed_for(spec["seed"], f"reference_rewards/{draw}")) for draw in draws]
    rewards = torch.stack([values for _, values in drawn], dim=1).float().cpu()  # (U, S)
    if not rewards.isfinite().all():
        row = firsts[int((~rewards.isfinite()).any(dim=1).nonzero()[0])]
        raise UserError(
            f"{inputs['reward_model'] / 'model'} gives NaN or infinity for a response to prompt "
            f"{pairs.prompt_ids[row][:12]}; expected a finite reward. Look at the metrics.csv of that reward model, "
            "and train it again"
        )
    place = {pairs.prompt_ids[row]: number for number, row in enumerate(firsts)}
    tokens = [len(sequence.response_ids) for responses, _ in drawn for sequence in responses]
    facts = {
        "prompts": len(prompts),
        "truncation": pairs.counts,
        "mean_tokens": sum(tokens) / len(tokens),
        **noise(rewards),
    }
    return rewards[[place[prompt] for prompt in pairs.prompt_ids]], facts


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
