"""Kahneman-Tversky Optimisation with 0 as reference point (Ethayarajh et al., 2024, arXiv:2402.01306).

What KTO is where policy and reference are one, and a control for its KL estimate (released with Relative
Preference Optimization: trainers.py, KTOZeroTrainer). No table uses it.
"""

from dataclasses import dataclass
from typing import Annotated

import torch

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "kto_zero"
PAPER = "arXiv:2402.01306"
NEEDS = Needs(shape="unpaired", reference=True, rows="mixed")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Shapes: M chosen, N rejected, losses in this order; log-probs are summed over completion tokens, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (N,)
    losses = torch.sigmoid(-hp.beta * torch.cat([chosen, -rejected]))  # RPO's Eq. 6, 7, no KL in 8
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
