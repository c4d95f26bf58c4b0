"""Relative Preference Optimization with diagonal emphasis (Yin et al., 2024, arXiv:2402.10958, Eq. 13)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "rpo_diagonal"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="paired", reference=True, gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    alpha: Annotated[float, "0 <= x <= 1"] = 0.8
    """Share of a pair with itself; the other M − 1 share 1 − α. Released rpo-diagonal.yaml: 0.8. Paper: α."""
    reading: Literal["paper", "code"] = "paper"
    """D3. paper: the weights stand inside the log-sigmoid (Eq. 13 in 14); code: outside, on the losses
    (trainers.py:786-793)."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 13 and 14. Shapes: M preference pairs; log-probs are summed over completion tokens, in nats.

    With M = 1 there is nothing off the diagonal. paper: the one weight stays α, not 1. code: the mean of
    nothing makes the loss NaN as in the release (its gradient is finite, α · DPO's): a trainer that checks
    its loss stops there.
    """
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (M,)
    margins = chosen[:, None] - rejected[None, :]  # (M, M) chosen i against rejected j
    m = len(margins)
    if hp.reading == "paper":
        weights = torch.full_like(margins, (1 - hp.alpha) / max(m - 1, 1)).fill_diagonal_(hp.alpha)  # Eq. 13
        losses = -F.logsigmoid(hp.beta * weights * margins).mean(dim=1)  # Eq. 14
    else:
        terms = -F.logsigmoid(hp.beta * margins)  # trainers.py:786-793
        others = terms[~torch.eye(m, dtype=torch.bool, device=terms.device)].view(m, m - 1)
        losses = hp.alpha * terms.diagonal() + (1 - hp.alpha) * others.mean(dim=1)
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
