"""Relative Preference Optimization on likeness of prompts with their responses (Yin et al., 2024, arXiv:2402.10958).

Table 6, "integrated prompt-response". The release has no code for it (D13): here rows are embedded as prompt +
chosen response and columns as prompt + rejected response, the rest is as in rpo_unpaired.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "rpo_integrated"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="unpaired", reference=True, embeddings="prompt+response", gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    tau: Annotated[float, "> 0"] = 0.5
    """Temperature of the weights. Paper: τ = 0.5, as for pairs."""
    distance: Literal["1-cos", "cos"] = "1-cos"
    """D1. As in rpo_paired: 1-cos, Listing 1 and the released code; cos, Eq. 10 as printed."""


def contrast_weights(chosen_embeddings: Tensor, rejected_embeddings: Tensor, hp: Hparams) -> Tensor:
    """f(x, y_w) (M, d) and f(x, y_l) (N, d), not normalised, to (M, N) weights w_ij whose rows sum to 1."""
    cosines = F.normalize(chosen_embeddings, dim=-1) @ F.normalize(rejected_embeddings, dim=-1).T
    distances = cosines if hp.distance == "cos" else 1 - cosines  # Eq. 10
    return torch.softmax(-distances / hp.tau, dim=1)  # Eq. 11


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 12. Shapes: M chosen, N rejected; log-probs are summed over completion tokens, in nats.

    Where one side is empty the loss and its gradient are zero, as in rpo_unpaired.
    """
    if batch.chosen_embeddings is None or batch.rejected_embeddings is None:
        raise ValueError(
            "rpo_integrated wants embeddings of prompt + response, (M, d), (N, d), found None: embed first"
        )
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (N,)
    if chosen.numel() == 0 or rejected.numel() == 0:
        losses = (0 * (chosen.sum() + rejected.sum())).expand(max(chosen.numel(), 1))
    else:
        margins = chosen[:, None] - rejected[None, :]  # (M, N)
        sides = batch.chosen_embeddings.to(margins.dtype), batch.rejected_embeddings.to(margins.dtype)
        losses = -F.logsigmoid(hp.beta * contrast_weights(*sides, hp) * margins).mean(dim=1)  # Eq. 12
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
