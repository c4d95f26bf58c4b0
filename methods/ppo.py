"""Proximal Policy Optimisation on responses (Schulman et al., 2017, arXiv:1707.06347; RPO section 2.1), on-policy.

Clipped, with the KL to the reference in the reward, as TRL 0.11.4 has it. What was released with Relative Preference
Optimization is ppo_offline.py (D9).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, RolloutBatch

NAME = "ppo"
PAPER = "arXiv:1707.06347"
NEEDS = Needs(shape="rollout", reference=True, rows="mixed", gather=True)
LARGEST_LOG_RATIO = 80.0
"""exp of more is infinite in float32."""


@dataclass(frozen=True, slots=True)
class Hparams:
    """The text gives none: the defaults are the released ppo.yaml's, where it has the field."""

    kl_coef: Annotated[float, ">= 0"] = 0.1
    """Weight of log π_old/π_ref, taken from each token's reward."""
    cliprange: Annotated[float, "0 < x < 1"] = 0.5
    """c. The ratio is clipped to [1 − c, 1 + c]."""
    value_cliprange: Annotated[float, "> 0"] = 0.2
    """How far a value may move before its loss stops falling; TRL's default."""
    critic_coef: Annotated[float, ">= 0"] = 0.01
    """Weight of the value loss, which is half a squared error."""
    gamma: Annotated[float, "0 <= x <= 1"] = 0.99
    """Discount of a token's reward per token before it."""
    lam: Annotated[float, "0 <= x <= 1"] = 0.95
    """λ of the generalised advantage estimate: 0 trusts the values alone, 1 the rewards alone. Paper: λ."""


def discounted_sums(amounts: Tensor, factor: float) -> Tensor:
    """(B, T) to Σ_{s ≥ t} factor^(s−t) · amounts_s, (B, T)."""
    steps = torch.arange(amounts.shape[-1], device=amounts.device)
    gaps = steps[:, None] - steps[None, :]  # (T, T) s − t
    return amounts @ (factor ** gaps.clamp(min=0).to(amounts)).tril()


def gae(values: Tensor, rewards: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates (B, T) of values and rewards (B, T) that are 0 where masked.

    δ_t = r_t + γ V_{t+1} − V_t, the value after the last position is 0; A_t = Σ (γλ)^(s−t) δ_s.
    """
    following = F.pad(values[:, 1:], (0, 1))
    return discounted_sums(rewards + gamma * following - values, gamma * lam)  # Eq. 11, 12


def whiten(advantages: Tensor, mask: Tensor) -> Tensor:
    """(B, T) shifted and scaled to mean 0 and variance 1, by n − 1, over the tokens of the mask."""
    n = mask.sum().clamp(min=1)
    centred = advantages - (advantages * mask).sum() / n
    variance = (centred.square() * mask).sum() / (n - 1).clamp(min=1)
    return centred * torch.rsqrt(variance + 1e-8)


def advantages_and_targets(batch: RolloutBatch, hp: Hparams) -> tuple[Tensor, Tensor]:
    """Whitened advantages, and the values' targets: advantage + old value; both (B, T) and without gradient."""
    mask = batch.mask.to(batch.old_values)
    rewards, values = batch.rewards * mask, batch.old_values * mask
    rewards = rewards - hp.kl_coef * (batch.old_logps - batch.ref_logps) * mask
    advantages = gae(values, rewards, hp.gamma, hp.lam) * mask
    return (whiten(advantages, mask) * mask).detach(), ((advantages + values) * mask).detach()


def policy_losses(batch: RolloutBatch, advantages: Tensor, hp: Hparams) -> tuple[Tensor, Tensor]:
    """Clipped surrogate of each token (B, T), and where the clip decides, (B, T) bool."""
    ratios = (batch.policy_logps - batch.old_logps).clamp(max=LARGEST_LOG_RATIO).exp()
    free, clipped = -advantages * ratios, -advantages * ratios.clamp(1 - hp.cliprange, 1 + hp.cliprange)
    return torch.maximum(free, clipped), clipped > free  # Eq. 7


def value_losses(batch: RolloutBatch, targets: Tensor, hp: Hparams) -> Tensor:
    """Half the squared error of each token's value, (B, T), or of the value clipped around its old one if larger."""
    near = batch.old_values + (batch.values - batch.old_values).clamp(-hp.value_cliprange, hp.value_cliprange)
    return 0.5 * torch.maximum((batch.values - targets).square(), (near - targets).square())


def token_losses(batch: RolloutBatch, advantages: Tensor, targets: Tensor, hp: Hparams) -> Tensor:
    """The whole loss of each token, (B, T), 0 where masked."""
    losses = policy_losses(batch, advantages, hp)[0] + hp.critic_coef * value_losses(batch, targets, hp)  # Eq. 9
    return losses.masked_fill(~batch.mask, 0)


def loss(batch: RolloutBatch, hp: Hparams) -> LossOutput:
    """Shapes: B responses of up to T tokens; token log-probs in nats. One loss per response.

    Advantages are whitened over all B. The losses are scaled so that their mean over B is the mean over tokens:
    long responses weigh more, as released. The rewards are the task's, summed per response.
    """
    losses = token_losses(batch, *advantages_and_targets(batch, hp), hp)
    losses = losses.sum(dim=1) * (len(losses) / batch.mask.sum().clamp(min=1))
    rewards = (batch.rewards * batch.mask).sum(dim=1).detach()
    return LossOutput(losses, rewards, rewards[:0])
