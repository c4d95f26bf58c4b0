"""Direct Preference Optimization at the mean own-pair weight of RPO. An extension of arXiv:2402.10958: a control.

rpo_paired multiplies β by a weight inside the sigmoid: its own pair is pushed with β · w_ii, not with β. Here the
same β · w_ii, meant over the batch, and no contrast with other prompts: what rpo_paired gains over this is contrast,
what it has in common is a smaller β.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "dpo_own_weight"
PAPER = "arXiv:2402.10958"
EXTENSION = True
NEEDS = Needs(shape="paired", reference=True, embeddings="prompt", gather=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """The same as in rpo_paired: the strength of the KL pull is this times the mean weight. Paper: β."""
    tau: Annotated[float, "> 0"] = 0.5
    """The same as in rpo_paired: at τ → 0 a pair meets only itself, and this is DPO at β. Paper: τ = 0.5."""


def own_weight(embeddings: Tensor, tau: float) -> Tensor:
    """(B, d) prompt embeddings, not normalised, to the mean of rpo_paired's w_ii, a scalar in [1/B, 1]."""
    unit = F.normalize(embeddings, dim=-1)
    return torch.softmax(-(1 - unit @ unit.T) / tau, dim=1).diagonal().mean()  # Eq. 10 read as 1 − cos, Eq. 11


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """DPO's Eq. 7 at β · mean w_ii. Shapes: B preference pairs; log-probs are summed, in nats.

    The mean is over this batch, the B pairs whose matrix rpo_paired would make: not over the data set.
    """
    if batch.embeddings is None:
        raise ValueError("dpo_own_weight wants PairedBatch.embeddings (B, d), found None: embed the prompts first")
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    beta = hp.beta * own_weight(batch.embeddings.to(chosen.dtype), hp.tau)
    losses = -F.logsigmoid(beta * (chosen - rejected))  # Eq. 7
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
