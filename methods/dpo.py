"""Direct Preference Optimization (Rafailov et al., 2023, arXiv:2305.18290)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "dpo"
PAPER = "arXiv:2305.18290"
NEEDS = Needs(shape="paired", reference=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 7; RPO's Eq. 3. Shapes: B preference pairs; log-probs are summed over completion tokens, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    losses = -F.logsigmoid(hp.beta * (chosen - rejected))  # Eq. 7; RPO's Eq. 3
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
