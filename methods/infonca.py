"""InfoNCA: noise contrastive alignment with scores, InfoNCE form (Chen et al., 2024, arXiv:2402.05369)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from methods.contract import LossOutput, Needs, RankedBatch

NAME = "infonca"
PAPER = "arXiv:2402.05369"
NEEDS = Needs(shape="ranked", reference=True, rows="groups")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.01
    """Strength of the KL pull to the reference. Released reward_qlora.yaml: 0.01. Paper: β."""
    temperature_alpha: Annotated[float, "> 0"] = 0.0001
    """Divides the scores. Released: 1e-4, which makes the label one-hot on the best response; a comment there
    says 1/α, the code divides (reward_trainer.py:453)."""
    first_bonus: Annotated[float, ">= 0"] = 0.01
    """Added to the score of response 0, the best one, which breaks ties for it (reward_trainer.py:449-466)."""


def soft_labels(batch: RankedBatch, hp: Hparams) -> Tensor:
    """(B, K) target shares, from the scores, in float64; rows sum to 1, 0 where there is no response."""
    is_first = torch.arange(batch.scores.shape[-1], device=batch.scores.device) == 0
    scores = batch.scores.double() + hp.first_bonus * is_first.double()
    return (scores / hp.temperature_alpha).masked_fill(~batch.mask, float("-inf")).softmax(dim=-1)  # Swepo's Eq. 23


def loss(batch: RankedBatch, hp: Hparams) -> LossOutput:
    """Swepo's Eq. 22, 23. Shapes: B prompts with up to K responses; log-probs are summed, in nats.

    A row with one response has nothing to tell apart: zero loss and gradient.
    """
    rewards = hp.beta * batch.log_ratios()  # (B, K) z
    shares = rewards.masked_fill(~batch.mask, float("-inf")).log_softmax(dim=-1).masked_fill(~batch.mask, 0)
    losses = -(soft_labels(batch, hp).to(shares) * shares).sum(dim=-1)  # Swepo's Eq. 22; reward_trainer.py:462
    return LossOutput(losses, *batch.best_and_rest(rewards))
