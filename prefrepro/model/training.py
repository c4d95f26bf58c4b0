"""The settings of a training, as the `training` section of a run's spec holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from methods.contract import Needs
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs, steps_per_epoch


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
    """Limit of the value head's gradient norm, which is clipped apart from the policy's."""
    max_new_tokens: int | None
    """Most tokens of a sampled response; None: whatever `max_length` leaves."""


@dataclass(frozen=True, slots=True)
class Training:
    """Everything that shapes the optimisation."""

    optimizer: str
    lr: float
    warmup_steps: int
    epochs: float
    max_steps: int | None
    """Stops earlier than `epochs` would; None: never."""
    batch_size: int
    """Pairs of one step; demonstrations of SFT; responses of each side where rows are balanced, of both where they are
    mixed; rollouts."""
    micro_batch: int
    """Sequences whose activations a rank holds at once, and at least the responses to one prompt. A group of more
    (`contrast_size`) is read twice, since its loss needs the log-probs of all of it. Changes memory, and results by
    rounding."""
    contrast_size: int
    """Side of RPO's contrast matrix: examples that meet each other in a loss with `gather`, whatever the micro-batch
    and the ranks. At most `batch_size`, which then is one matrix; where it does not divide it, the last is smaller."""
    max_grad_norm: float
    max_length: int
    max_prompt_length: int
    truncation_mode: str
    cut_prompts: str
    """data/truncate.py says what this and the three limits before it mean."""
    dtype: str
    log_every: int
    eval_every: int | None
    """Steps between measurements of held-out accuracy; 0: after the last step alone; None: never."""
    checkpoint_every: int
    threads: int
    """CPU threads of the trainer: a field of the run, because sums depend on it in the last bit."""
    rows: Literal["balanced"] | None = None
    """In place of the method's own `Needs.rows`: as many chosen as rejected responses in a batch."""
    schedule: str = "constant"
    """constant | linear | cosine: the learning rate after the warm-up; optimizer.py."""
    rollout: RolloutSettings | None = None
    """Where the shape is rollout."""
    on_nan: str = "stop"
    """stop | skip: what becomes of an update whose loss or gradient is no number; train/failures.py."""
    compute_dtype: str | None = None
    """Dtype of forward and backward, where it is not `dtype`, in which weights and optimiser state are held."""
    save_dtype: str | None = None
    """Dtype of the saved weights, where it is not `dtype`."""
    logp_dtype: str = "float32"
    """float32 | bfloat16: what log-probs are rounded to (policy.py)."""
    lora_rank: int = 0
    """Rank of adapters, which then are all that is trained (lora.py); weights beside them are held in
    `compute_dtype`."""
    quantize: str = "none"
    """none | nf4: how weights beside adapters are held."""
    checkpoint_minutes: float | None = None
    """A checkpoint when so much time has passed since the last, in place of `checkpoint_every` steps."""
    micro_batch_tokens: int | None = None
    """Tokens whose activations a rank holds at once, in place of `micro_batch` sequences; a prompt counts once for each
    of its responses."""

    @property
    def is_mixed(self) -> bool:
        """Whether weights are held wider than they are computed with."""
        return not self.lora_rank and self.compute_dtype not in (None, self.dtype)


def training_of(values: dict[str, Any]) -> Training:
    """A spec's `training` section."""
    fields = dict(values)
    if fields.get("rollout"):
        fields["rollout"] = RolloutSettings(**fields["rollout"])
    return Training(**fields)


def needs_in(training: Training, needs: Needs) -> Needs:
    """A method's needs with the rows that the training draws."""
    return needs if training.rows is None else replace(needs, rows=training.rows)


def total_steps(inputs: Inputs, needs: Needs, training: Training) -> int:
    """Optimiser steps of the whole run. Raises UserError where not even one batch can be filled."""
    per_epoch = steps_per_epoch(inputs.prompt_ids, needs, training.batch_size)
    if per_epoch == 0:
        found = f"{len(inputs.prompt_ids)} training rows"
        if needs.rows == "demonstrations":
            found = f"{len(set(inputs.prompt_ids))} demonstrations, one per prompt of {found},"
        raise UserError(
            f"{found} cannot fill one batch of {training.batch_size}. Lower training.batch_size or use more data."
        )
    return capped_steps(per_epoch, training.epochs, training.max_steps)


def capped_steps(per_epoch: int, epochs: float, max_steps: int | None) -> int:
    """Steps of `epochs`, and at most `max_steps`."""
    steps = max(1, math.floor(per_epoch * epochs))
    return steps if max_steps is None else min(steps, max_steps)
