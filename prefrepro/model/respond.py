"""A policy's own answers to training prompts, with a reward for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.errors import UserError
from prefrepro.model.decode import Answer, decode, sampling_arguments
from prefrepro.model.examples import Tokens, by_length
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy

Respond = Callable[..., tuple[list[Tokens], Tensor]]
"""(token ids of prompts, seed, share=alone) -> (one response each, their rewards (B,))"""
Share = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""(what to do, items) -> what came of each; several processes may divide the items, and each gets all that came."""


def alone(do: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """One process does all."""
    return [do(item) for item in items]


def rewarding(reward_model: Path, tokenizer: Any, dtype: str) -> Policy:
    """The reward model of a run's folder. Raises UserError where it has another vocabulary than the policy."""
    folder = reward_model / "model"
    if load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
        raise UserError(f"{folder}: the reward model has another vocabulary than the policy; train both from one base")
    return Policy(load_model(folder, dtype, "score"), tokenizer.pad_token_id, "score")


def responder(
    model: Any,
    tokenizer: Any,
    score: Callable[[Sequence[Tokens]], Tensor],
    max_length: int,
    max_new_tokens: int | None,
    batch_size: int,
) -> Respond:
    """Samples from `model` at temperature 1, by the rules of `decode`, and scores each answer as a judge reads it:
    its text without what ended it, closed by EOS.

    Each batch has a seed of its own, so that it draws the same whatever else its process draws.
    """
    room, arguments = max_new_tokens or max_length, sampling_arguments(1.0, 1.0)

    @torch.no_grad()
    def respond(prompts: Sequence[list[int]], seed: int, share: Share = alone) -> tuple[list[Tokens], Tensor]:
        was_training = model.training
        model.eval()
        responses, scored = [Tokens([], [])] * len(prompts), [Tokens([], [])] * len(prompts)
        order = by_length([Tokens(prompt, []) for prompt in prompts])
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

        def answered(number: int) -> list[Answer]:
            torch.manual_seed(seed + number)
            some = [prompts[row] for row in batches[number]]
            return decode(model, tokenizer, some, room, max_length, arguments)

        for rows, answers in zip(batches, share(answered, range(len(batches))), strict=True):
            for row, answer in zip(rows, answers, strict=True):
                text_ids = tokenizer(answer.text, add_special_tokens=False)["input_ids"]
                responses[row] = Tokens(prompts[row], answer.ids)
                scored[row] = Tokens(prompts[row], [*text_ids, tokenizer.eos_token_id])
        model.train(was_training)
        return responses, score(scored)

    return respond
