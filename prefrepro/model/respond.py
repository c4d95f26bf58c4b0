"""A policy's own answers to training prompts, with a reward for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.errors import UserError
from prefrepro.model.decode import decode, sampling_arguments
from prefrepro.model.examples import Tokens, by_length
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy

Respond = Callable[[Sequence[list[int]], int], tuple[list[Tokens], Tensor]]
"""(token ids of prompts, seed) -> (one response each, their rewards (B,))"""


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
    """
    room, arguments = max_new_tokens or max_length, sampling_arguments(1.0, 1.0)

    @torch.no_grad()
    def respond(prompts: Sequence[list[int]], seed: int) -> tuple[list[Tokens], Tensor]:
        was_training = model.training
        model.eval()
        torch.manual_seed(seed)
        responses, scored = [Tokens([], [])] * len(prompts), [Tokens([], [])] * len(prompts)
        order = by_length([Tokens(prompt, []) for prompt in prompts])
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            answers = decode(model, tokenizer, [prompts[row] for row in rows], room, max_length, arguments)
            for row, answer in zip(rows, answers, strict=True):
                text_ids = tokenizer(answer.text, add_special_tokens=False)["input_ids"]
                responses[row] = Tokens(prompts[row], answer.ids)
                scored[row] = Tokens(prompts[row], [*text_ids, tokenizer.eos_token_id])
        model.train(was_training)
        return responses, score(scored)

    return respond
