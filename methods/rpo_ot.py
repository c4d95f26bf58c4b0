"""Relative Preference Optimization without pairs, with optimal-transport weights. An extension of arXiv:2402.10958.

rpo_unpaired normalises the weights of each chosen response alone, so that one rejected response may take part
in every contrast and another in none. Here the M × N weights are an entropic transport plan between the chosen
and the rejected prompts at cost 1 − cos: every rejected response carries the same mass.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "rpo_ot"
PAPER = "arXiv:2402.10958"
EXTENSION = True
NEEDS = Needs(shape="unpaired", reference=True, embeddings="prompt", gather=True, rows="balanced")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    tau: Annotated[float, "> 0"] = 0.75
    """Entropic regularisation of the plan; it stands where rpo_unpaired has its temperature."""


def transport_weights(chosen_embeddings: Tensor, rejected_embeddings: Tensor, tau: float) -> Tensor:
    """(M, d) and (N, d) prompt embeddings, not normalised, to (M, N) weights without gradient.

    Rows sum to 1, as rpo_unpaired's, and columns to M/N. Computed in float64.
    """
    import ot  # here, because POT looks for every array library when it is imported

    chosen, rejected = chosen_embeddings.detach().double(), rejected_embeddings.detach().double()
    costs = 1 - F.normalize(chosen, dim=-1) @ F.normalize(rejected, dim=-1).T  # (M, N)
    m, n = costs.shape
    masses = costs.new_full((m,), 1 / m), costs.new_full((n,), 1 / n)
    plan: Any = ot.sinkhorn(*masses, costs, reg=tau, method="sinkhorn_log")  # (M, N), sums to 1
    return plan / plan.sum(dim=1, keepdim=True)


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 12 with other weights. Shapes: M chosen, N rejected; log-probs are summed, in nats.

    Where one side is empty the loss and its gradient are zero, as in rpo_unpaired.
    """
    if batch.chosen_embeddings is None or batch.rejected_embeddings is None:
        raise ValueError("rpo_ot wants embeddings of both sides (M, d), (N, d), found None: embed first")
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (M,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (N,)
    if chosen.numel() == 0 or rejected.numel() == 0:
        losses = (0 * (chosen.sum() + rejected.sum())).expand(max(chosen.numel(), 1))
    else:
        margins = chosen[:, None] - rejected[None, :]  # (M, N)
        weights = transport_weights(batch.chosen_embeddings, batch.rejected_embeddings, hp.tau).to(margins)
        losses = -F.logsigmoid(hp.beta * weights * margins).mean(dim=1)  # Eq. 12
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
