"""SWEPO: simultaneous weighted preference optimisation over all responses (Gupta et al., 2024, arXiv:2412.04628).

No code was released, and of the equations only words are left: docs/protocol.md#swepo-equations. s = β · log-ratio,
with the β that the text leaves out (β = 1 is the text to the letter).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from methods.contract import LossOutput, Needs, RankedBatch

NAME = "swepo"
PAPER = "arXiv:2412.04628"
NEEDS = Needs(shape="ranked", reference=True, rows="groups")
EQUAL = 1e-6
"""A score that is this near the mean, relative to the largest of its row, is at the mean: rounding of float32."""


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.01
    """Strength of the KL pull to the reference. Not given; InfoNCA's, whose settings the text adheres to."""
    group: Literal["k1_vs_k2", "1_vs_k"] = "k1_vs_k2"
    """Which responses are positive. k1_vs_k2: those above the mean score; 1_vs_k: the best, the first of a tie."""
    weight: Literal["power", "exp"] = "power"
    """power: w = |S − mean|^p, Eq. 15-16; exp: w = exp(α |S − mean|), Eq. 5-6."""
    p: Literal[0, 1, 2] = 1
    """Power of the deviation. 0: no weights, also of a score at the mean."""
    alpha: Annotated[float, ">= 0"] = 1.0
    """Scale of the deviation under weight=exp. Not given. Paper: α."""


def groups_and_weights(batch: RankedBatch, hp: Hparams) -> tuple[Tensor, Tensor, Tensor]:
    """Positives (B, K) bool, log-weights (B, K) in nats, and (B,) bool: whether the scores tell anything apart.

    With p ≥ 1 a score at the mean has weight 0, so log-weight −∞: the response drops out.
    """
    scores = batch.scores.double().masked_fill(~batch.mask, 0)
    deviations = scores - scores.sum(dim=-1, keepdim=True) / batch.mask.sum(dim=-1, keepdim=True)  # Eq. 1, 2
    is_level = deviations.abs() <= EQUAL * scores.abs().amax(dim=-1, keepdim=True)
    deviations = deviations.masked_fill(is_level | ~batch.mask, 0)
    positive = deviations > 0  # Eq. 3
    valid = positive.any(dim=-1)
    if hp.group == "1_vs_k":
        ranks = torch.arange(scores.shape[-1], device=scores.device)
        positive = positive & (ranks == deviations.argmax(dim=-1, keepdim=True))
    size = deviations.abs()
    log_weights = torch.xlogy(hp.p, size) if hp.weight == "power" else hp.alpha * size  # Eq. 15, 16; 5, 6
    return positive, log_weights, valid


def loss(batch: RankedBatch, hp: Hparams) -> LossOutput:
    """Eq. 10. Shapes: B prompts with up to K responses; log-probs are summed over completion tokens, in nats.

    A row whose scores are all equal, or that has one response, has no positive: zero loss, zero gradient, and
    `valid` False, so that the mean leaves it out.
    """
    rewards = hp.beta * batch.log_ratios()  # (B, K) s, Eq. 7
    positive, log_weights, valid = groups_and_weights(batch, hp)
    # Without a positive, all are: numerator and denominator are one, so that the zeros come out exactly.
    positive = positive | (batch.mask & ~valid[:, None])
    log_weights = log_weights.masked_fill(~valid[:, None], 0)
    weighted = (rewards + log_weights.to(rewards)).masked_fill(~batch.mask, float("-inf"))  # s', Eq. 8, 9
    losses = weighted.logsumexp(dim=-1) - weighted.masked_fill(~positive, float("-inf")).logsumexp(dim=-1)  # Eq. 10
    return LossOutput(losses, *batch.best_and_rest(rewards), valid)
