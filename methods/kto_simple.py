"""The first form of Kahneman-Tversky Optimisation, where each side is the other's reference point.

From the report that preceded the paper (Ethayarajh et al., 2023, Human-Centered Loss Functions), as released
with Relative Preference Optimization (trainers.py, SimpleKTOTrainer). No table uses it.
"""

from dataclasses import dataclass
from typing import Annotated

import torch

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "kto_simple"
PAPER = "arXiv:2402.01306"
NEEDS = Needs(shape="unpaired", reference=True, rows="balanced", gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Shapes: M chosen, N rejected, losses in this order; log-probs are summed over completion tokens, in nats.

    The reference points carry gradient, as in the release. Where a side is empty its mean counts as 0, as at
    initialisation (kto_zero); the release has NaN there.
    """
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (N,)
    chosen_kl = (chosen.sum() / max(len(chosen), 1)).clamp(min=0)
    rejected_kl = (rejected.sum() / max(len(rejected), 1)).clamp(min=0)
    desirable = torch.sigmoid(-hp.beta * (chosen - rejected_kl))  # RPO's Eq. 6, 7 as in trainers.py:916
    undesirable = torch.sigmoid(-hp.beta * (chosen_kl - rejected))
    return LossOutput(torch.cat([desirable, undesirable]), hp.beta * chosen.detach(), hp.beta * rejected.detach())
