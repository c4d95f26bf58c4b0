"""Relative Preference Optimization with log Z(x) kept (Yin et al., 2024, arXiv:2402.10958, Appendix A). An extension.

Two responses to one prompt share Z(x), two of different prompts do not: then the difference of their rewards
is β · (difference of log-ratios) + β · (log Z(x_i) − log Z(x_j)), Eq. 9, whose last term RPO drops (section 5,
limitation 3). Eq. 16 has e^Z, so Z where log Z belongs (D16): Eq. 9 is followed, because it alone follows from
r(x, y) = β log π/π_ref + β log Z(x).

Z(x) = E_ref[exp(r/β)] is estimated from a reward model's rewards of the reference's own responses. Pairs of one
prompt fix a Bradley-Terry reward only up to a function of the prompt, and log Z(x) takes that over: how prompts
compare is the reward model's guess, not the data's.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "rpo_z"
PAPER = "arXiv:2402.10958"
EXTENSION = True
NEEDS = Needs(shape="paired", reference=True, embeddings="prompt", gather=True, reference_rewards=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    tau: Annotated[float, "> 0"] = 0.5
    """Temperature of the weights: at τ → 0 a pair meets only itself and Z cancels. Paper: τ = 0.5."""


def estimate_log_z(rewards: Tensor, beta: float) -> Tensor:
    """(B, S) rewards of S responses drawn from the reference, to (B,) log Z(x) = log E[exp(r/β)], in nats.

    The mean is taken of exp(r/β): biased low, and ruled by the best of the S where r/β spreads over many nats.
    """
    return torch.logsumexp(rewards / beta, dim=-1) - math.log(rewards.shape[-1])


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 9, 12 and 14. Shapes: B preference pairs; log-probs are summed over completion tokens, in nats."""
    if batch.embeddings is None or batch.reference_rewards is None:
        raise ValueError("rpo_z wants PairedBatch.embeddings (B, d) and reference_rewards (B, S), found None")
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    log_z = estimate_log_z(batch.reference_rewards.detach().double(), hp.beta).to(chosen)
    margins = (chosen + log_z)[:, None] - (rejected + log_z)[None, :]  # (B, B) Eq. 9
    unit = F.normalize(batch.embeddings.to(margins.dtype), dim=-1)
    weights = torch.softmax(-(1 - unit @ unit.T) / hp.tau, dim=1)  # Eq. 10 read as 1 − cos, Eq. 11
    losses = -F.logsigmoid(hp.beta * weights * margins).mean(dim=1)  # Eq. 12, 14
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
