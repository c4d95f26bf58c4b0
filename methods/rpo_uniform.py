"""Relative Preference Optimization with uniform weights (Yin et al., 2024, arXiv:2402.10958, section 3.2)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "rpo_uniform"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="paired", reference=True, gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    reading: Literal["paper", "code"] = "paper"
    """D2. paper: w = 1/N inside the sigmoid (Eq. 12, 14), which divides β by N; code: w = 1 inside, so that
    the 1/N stands only outside, as the mean over j (trainers.py:822)."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 12 and 14, one w for all. Shapes: B = N preference pairs; log-probs are summed, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    margins = chosen[:, None] - rejected[None, :]  # (B, B) chosen i against rejected j
    weight = 1 / len(margins) if hp.reading == "paper" else 1.0  # section 3.2, uniform
    losses = -F.logsigmoid(hp.beta * weight * margins).mean(dim=1)  # Eq. 12, 14
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
