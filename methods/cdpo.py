"""Conservative DPO: Direct Preference Optimization with smoothed labels (Mitchell, 2023, ericmitchell.ai/cdpo.pdf)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "cdpo"
PAPER = "https://ericmitchell.ai/cdpo.pdf"
NEEDS = Needs(shape="paired", reference=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    label_smoothing: Annotated[float, "0 <= x <= 0.5"] = 0.2
    """Probability that a label is flipped. Released RPO code: 0.2. Paper: ε."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """DPO's loss at both labels. Shapes: B preference pairs; log-probs are summed, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    margins = hp.beta * (chosen - rejected)  # the argument of σ in DPO's Eq. 7
    smooth = hp.label_smoothing
    losses = -(1 - smooth) * F.logsigmoid(margins) - smooth * F.logsigmoid(-margins)  # RPO's trainers.py:762-764
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
