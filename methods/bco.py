"""Binary Classifier Optimization (Jung et al., 2024, arXiv:2404.04656), as in TRL 0.11.4. No table uses it."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "bco"
PAPER = "arXiv:2404.04656"
NEEDS = Needs(shape="unpaired", reference=True, rows="mixed")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    delta: float = 0.0
    """Shift of the rewards, in their unit. Paper: δ, a running mean of all rewards so far; that is state, which
    a pure loss has not, so it is a constant here."""


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Shapes: M chosen, N rejected, losses in this order; log-probs are summed over completion tokens, in nats."""
    chosen = hp.beta * (batch.policy_chosen_logps - batch.ref_chosen_logps)  # (M,) reward
    rejected = hp.beta * (batch.policy_rejected_logps - batch.ref_rejected_logps)  # (N,)
    losses = -F.logsigmoid(torch.cat([chosen - hp.delta, hp.delta - rejected]))  # TRL 0.11.4, bco_trainer.py, bco_loss
    return LossOutput(losses, chosen.detach(), rejected.detach())
