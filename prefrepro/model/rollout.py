"""The responses that a rollout step learns from, and what of them stays fixed while it does.

They are the data's, rewarded +1 where chosen and −1 where rejected, or the policy's own answers to the training
prompts, rewarded by a function of their text. Knows nothing of advantages, clipping or any method.

The reference is a frozen copy of the initial policy in memory, not the DAG node of sums that other shapes share:
rollouts do not exist before the run that samples them, and a KL in each token's reward wants each token's log-prob.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from methods.contract import Needs
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs, Responses, Rows
from prefrepro.model.decode import decode, sampling_arguments
from prefrepro.model.examples import Tokens, by_length
from prefrepro.model.policy import Policy
from prefrepro.model.seeds import seed_for
from prefrepro.model.value_head import ValueHead

Respond = Callable[[Sequence[list[int]], int], tuple[list[Tokens], Tensor]]
"""(token ids of prompts, seed) -> (one response each, their rewards (B,))"""


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """What a training has beside `Training` where its shape is rollout."""

    responses: Literal["data", "policy"]
    """data: a step draws chosen and rejected responses of the training pairs; policy: unique training prompts,
    which the policy answers as it is."""
    ppo_epochs: int
    """Passes over the responses of one step."""
    minibatches: int
    """Updates of one pass. Responses of one minibatch meet each other in a loss with `gather`, no others."""
    max_head_grad_norm: float
    """Of the value head, clipped apart from the policy."""
    max_new_tokens: int | None
    """Of a response that is sampled; None: whatever `max_length` leaves."""


def rows_of_rollouts(needs: Needs, settings: RolloutSettings) -> Needs:
    """`needs` with the rows that a step draws: unique prompts where the policy answers, else what the method says."""
    return replace(needs, rows="demonstrations") if settings.responses == "policy" else needs


class Rollouts:
    """Makes each step's responses. Create it before a checkpoint is loaded: `policy` is the reference then."""

    def __init__(self, policy: Policy, settings: RolloutSettings, seed: int, respond: Respond | None) -> None:
        self.policy, self.settings, self.seed, self.respond = policy, settings, seed, respond
        self.reference = Policy(copy.deepcopy(policy.model).eval().requires_grad_(False), policy.pad_id)
        hidden_size = policy.model.config.get_text_config().hidden_size
        self.head = ValueHead(hidden_size, seed_for(seed, "value_head")).to(policy.model.device)

    def draw(
        self, inputs: Inputs, rows: Rows, step: int
    ) -> tuple[Inputs, list[Rows], Callable[[Sequence[Tokens]], Tensor]]:
        """`inputs` with the responses of a step, the rows of each update on them, and what to put them through.

        Old log-probs, old values and rewards are those before the first update. The last is the policy with its value
        head as they are: (S, T, 2), with gradient. Raises UserError where nothing rewards the policy's responses.
        """
        if self.settings.responses == "data":
            sequences, rewards = _of_data(inputs, rows)
        elif self.respond is None:
            raise UserError("rollouts of the policy want rewards for its responses, but the run has no reward model")
        else:
            # From (seed, step) alone, so that a step that is made again after a kill samples the same.
            prompts = [inputs.pairs.chosen[row].prompt_ids for row in rows.chosen]
            sequences, rewards = self.respond(prompts, seed_for(self.seed, f"rollout/{step}"))
        width = max(len(s.prompt_ids) + len(s.response_ids) for s in sequences) - 1
        read = partial(_read, self.policy, self.head, width)
        with torch.no_grad():
            old = read(sequences)
            ref = _read(self.reference, None, width, sequences)[..., 0]
        mask, at_end = torch.zeros(2, len(sequences), width, device=old.device, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            start, end = len(sequence.prompt_ids) - 1, len(sequence.prompt_ids) + len(sequence.response_ids) - 1
            mask[row, start:end], at_end[row, end - 1] = True, True
        placed = torch.zeros_like(ref).masked_scatter(at_end, rewards.to(ref))
        old_logps = ref if self.settings.responses == "data" else old[..., 0]  # trainers.py:1229
        responses = Responses(sequences, old_logps, ref, old[..., 1], placed, mask)
        return replace(inputs, responses=responses), list(self._updates(len(sequences), step)), read

    def _updates(self, n: int, step: int) -> Iterator[Rows]:
        for epoch in range(self.settings.ppo_epochs):
            order = list(range(n))
            if self.settings.minibatches > 1:
                random.Random(f"{self.seed}/{step}/{epoch}").shuffle(order)
            size = n // self.settings.minibatches
            for start in range(0, size * self.settings.minibatches, size):
                yield Rows(order[start : start + size], [])


def _read(policy: Policy, head: ValueHead | None, width: int, sequences: Sequence[Tokens]) -> Tensor:
    """(S, width, 2): token log-probs and values; log-probs are 0 where there is no response token."""
    logps, hidden = policy.tokens(sequences, width)
    return torch.stack([logps, torch.zeros_like(logps) if head is None else head(hidden).to(logps)], dim=-1)


def _of_data(inputs: Inputs, rows: Rows) -> tuple[list[Tokens], Tensor]:
    """Drawn responses of the data, in the order drawn, +1 for chosen and −1 for rejected (trainers.py:1224)."""
    if rows.responses is None:
        raise ValueError('rollouts of the data are drawn together: a method with shape="rollout" wants rows="mixed"')
    sides = (inputs.pairs.chosen, inputs.pairs.rejected)
    sequences = [sides[number % 2][number // 2] for number in rows.responses]
    return sequences, torch.tensor([-1.0 if number % 2 else 1.0 for number in rows.responses])


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
            width = max(len(prompts[row]) for row in rows)
            ids = torch.full((len(rows), width), tokenizer.pad_token_id)
            mask = torch.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, width - len(prompts[row]) :] = torch.tensor(prompts[row])
                mask[place, width - len(prompts[row]) :] = 1
            device = model.device
            for row, answer in zip(
                rows,
                decode(model, tokenizer, ids.to(device), mask.to(device), room, max_length, arguments),
                strict=True,
            ):
                text_ids = tokenizer(answer.text, add_special_tokens=False)["input_ids"]
                responses[row] = Tokens(prompts[row], answer.ids)
                scored[row] = Tokens(prompts[row], [*text_ids, tokenizer.eos_token_id])
        model.train(was_training)
        return responses, score(scored)

    return respond
