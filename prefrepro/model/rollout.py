"""The responses that a rollout step learns from, and what of them stays fixed while it does.

They are the data's, rewarded +1 where chosen and −1 where rejected, or the policy's own answers to the training
prompts, rewarded by a function of their text.

The reference is a frozen copy of the initial policy in memory, not the DAG node of sums that other shapes share:
rollouts do not exist before the run that samples them, and a KL in each token's reward wants each token's log-prob.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.contract import Needs
from prefrepro.errors import UserError
from prefrepro.model.align import Start
from prefrepro.model.batches import Inputs, Responses, Rows
from prefrepro.model.examples import Tokens
from prefrepro.model.learner import Learner, Objective, Read, Split, fitting, read_in_parts
from prefrepro.model.load import DTYPES
from prefrepro.model.policy import Policy
from prefrepro.model.respond import Respond, Share, responder, rewarding
from prefrepro.model.seeds import seed_for
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.model.value_head import ValueHead


def rows_of_rollouts(needs: Needs, settings: RolloutSettings) -> Needs:
    """`needs` with the rows that a step draws: unique prompts where the policy answers, else what the method says."""
    return replace(needs, rows="demonstrations") if settings.responses == "policy" else needs


class Rollouts:
    """Makes each step's responses. Create it before a checkpoint is loaded: `policy` becomes the reference."""

    def __init__(
        self, policy: Policy, settings: RolloutSettings, seed: int, respond: Respond | None,
        compute_dtype: str | None = None, split: Split = lambda sequences: [[*range(len(sequences))]],
    ) -> None:  # fmt: skip
        """`compute_dtype`: of the policy's forward, where its weights are wider. The reference is held in it: the
        first log-ratios are 0. `split`: into parts that are read at a time.
        """
        self.policy, self.settings, self.seed, self.respond, self.split = policy, settings, seed, respond, split
        # Each weight is cast as it is copied: a whole copy in float32 would be 25 GiB at 7B.
        weights = policy.model.parameters() if compute_dtype else ()
        cast = {id(weight): nn.Parameter(weight.detach().to(DTYPES[compute_dtype or ""])) for weight in weights}
        frozen = copy.deepcopy(policy.model, cast).eval().requires_grad_(False)
        logp_dtype = "bfloat16" if policy.is_rounded else "float32"
        self.reference = Policy(frozen, policy.pad_id, layout=policy.layout, logp_dtype=logp_dtype)
        hidden_size = policy.model.config.get_text_config().hidden_size
        self.head = ValueHead(hidden_size, seed_for(seed, "value_head")).to(policy.model.device)

    def draw(self, inputs: Inputs, rows: Rows, step: int) -> tuple[Inputs, list[Rows], Read]:
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
            parts = self.split(sequences)
            old = read_in_parts(read, sequences, parts)
            ref = read_in_parts(partial(_read, self.reference, None, width), sequences, parts)[..., 0]
        mask, at_end = torch.zeros(2, len(sequences), width, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            start, end = len(sequence.prompt_ids) - 1, len(sequence.prompt_ids) + len(sequence.response_ids) - 1
            mask[row, start:end], at_end[row, end - 1] = True, True
        mask, at_end = mask.to(old.device), at_end.to(old.device)
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


class RolloutLearner(Learner):
    """A policy that is trained in place on rollouts, with its value head. Create it before a checkpoint is loaded."""

    def __init__(
        self, policy: Policy, objective: Objective, inputs: Inputs, training: Training, seed: int,
        respond: Respond | None,
    ) -> None:  # fmt: skip
        """`respond`: for rollouts of the policy. Raises UserError where the training says nothing of rollouts."""
        if training.rollout is None:
            raise UserError('a method with shape="rollout" wants training.rollout: where responses come from')
        needs = rows_of_rollouts(objective.needs, training.rollout)
        super().__init__(policy, replace(objective, needs=needs), inputs, training, seed)
        compute_dtype = training.compute_dtype if training.is_mixed else None
        self.rollouts = Rollouts(
            policy, training.rollout, seed, respond, compute_dtype,
            lambda sequences: fitting(sequences, training, self.n_ranks),
        )  # fmt: skip
        self.frozen.append(self.rollouts.reference)
        self.modules["value_head"] = self.rollouts.head
        self.max_norms["value_head"] = training.rollout.max_head_grad_norm

    def start(self, n_ranks: int, share: Share | None) -> None:
        if share and self.rollouts.respond:
            self.rollouts.respond = partial(self.rollouts.respond, share=share)
        super().start(n_ranks, share)

    def draw(self, rows: Rows, number: int) -> tuple[Inputs, list[Rows], Read]:
        return self.rollouts.draw(self.inputs, rows, number)


def rollout_learner(start: Start, reward_model: Path | None) -> RolloutLearner:
    """The training of a rollout method; the reward model of a run's folder rewards the policy's own responses."""
    training, respond, judges = start.training, None, []
    if reward_model is not None:
        judges = [rewarding(reward_model, start.tokenizer, training.compute_dtype or "float32")]
        room = training.max_length, training.rollout.max_new_tokens if training.rollout else None
        score = partial(judges[0].score_all, batch_size=training.micro_batch)
        respond = responder(start.policy.model, start.tokenizer, score, *room, training.micro_batch)
    learner = RolloutLearner(start.policy, start.objective, start.inputs, training, start.seed, respond)
    learner.frozen += judges
    return learner
