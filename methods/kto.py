"""Kahneman-Tversky Optimisation (Ethayarajh et al., 2024, arXiv:2402.01306)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "kto"
PAPER = "arXiv:2402.01306"
NEEDS = Needs(shape="unpaired", reference=True, rows="mixed", gather=True, mismatched=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    desirable_weight: Annotated[float, "> 0"] = 1.0
    """Weight of the chosen responses. Paper: λ_D."""
    undesirable_weight: Annotated[float, "> 0"] = 1.0
    """Weight of the rejected responses. Paper: λ_U."""
    reading: Literal["paper", "code"] = "paper"
    """D10. paper: the reference point is the group's mean log-ratio, not below 0; code: that of one rank,
    divided by the number of ranks, because the result of the all-reduce is dropped (trainers.py:949-951)."""
    world_size: Annotated[int, ">= 1"] = 8
    """Ranks of the run that reading=code copies; its groups are one rank's examples."""


def reference_point(batch: UnpairedBatch, hp: Hparams) -> Tensor:
    """KL of policy and reference, a scalar in nats without gradient, from R mismatched responses.

    Raises ValueError where there are none.
    """
    if batch.policy_mismatched_logps is None or batch.ref_mismatched_logps is None:
        raise ValueError("kto wants UnpairedBatch.policy_mismatched_logps and ref_mismatched_logps (R,), found None")
    if batch.policy_mismatched_logps.numel() == 0:
        raise ValueError("kto wants at least one mismatched response to estimate its KL from, found R = 0")
    ratios = (batch.policy_mismatched_logps - batch.ref_mismatched_logps).detach()  # RPO's Eq. 8, E[KL]
    return ratios.mean().clamp(min=0) / (hp.world_size if hp.reading == "code" else 1)


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """RPO's Eq. 6–8, as released in trainers.py:924-974. Shapes: M chosen, N rejected; log-probs are summed, in nats.

    The M losses of the chosen come first, then the N of the rejected; either side may be empty. A single
    response has no other to be mismatched with: the trainer must give it one.
    """
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (N,)
    kl = reference_point(batch, hp)
    desirable = hp.desirable_weight * torch.sigmoid(-hp.beta * (chosen - kl))  # RPO's Eq. 6, 7; 1 − σ(z) = σ(−z)
    undesirable = hp.undesirable_weight * torch.sigmoid(-hp.beta * (kl - rejected))  # RPO's Eq. 6, 7
    return LossOutput(torch.cat([desirable, undesirable]), hp.beta * chosen.detach(), hp.beta * rejected.detach())
