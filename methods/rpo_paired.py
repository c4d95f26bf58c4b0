"""Relative Preference Optimization on pairs (Yin et al., 2024, arXiv:2402.10958).

Every chosen response of a batch meets every rejected one, weighted by likeness of the prompts.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "rpo_paired"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="paired", reference=True, embeddings="prompt", gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    tau: Annotated[float, "> 0"] = 0.5
    """Temperature of the weights: at τ → 0 a pair meets only itself. Paper: τ = 0.5."""
    distance: Literal["1-cos", "cos"] = "1-cos"
    """D1. Of two prompts. 1-cos: the paper's Listing 1 and the released code; cos: Eq. 10 as printed, a control,
    for it favours *unlike* prompts."""


def contrast_weights(embeddings: Tensor, hp: Hparams) -> Tensor:
    """(B, d) prompt embeddings, not normalised, to (B, B) weights w_ij whose rows sum to 1."""
    unit = F.normalize(embeddings, dim=-1)
    cosines = unit @ unit.T  # (B, B)
    distances = cosines if hp.distance == "cos" else 1 - cosines  # Eq. 10
    return torch.softmax(-distances / hp.tau, dim=1)  # Eq. 11


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 12 and 14. Shapes: B preference pairs; log-probs are summed over completion tokens, in nats."""
    if batch.embeddings is None:
        raise ValueError("rpo_paired wants PairedBatch.embeddings (B, d), found None: embed the prompts first")
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    margins = chosen[:, None] - rejected[None, :]  # (B, B) chosen i against rejected j
    weights = contrast_weights(batch.embeddings.to(margins.dtype), hp)
    losses = -F.logsigmoid(hp.beta * weights * margins).mean(dim=1)  # Eq. 12, 14
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
