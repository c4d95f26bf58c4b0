"""PPO as released with Relative Preference Optimization (arXiv:2402.10958; trainers.py:1096-1409): offline.

Rewards are ±1 on the data's responses, the reference stands for the old policy, and a KL term pulls the likelihood of
all data tokens up. Proximal Policy Optimisation as papers have it is ppo.py (D9).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import LossOutput, Needs, RolloutBatch

NAME = "ppo_offline"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="rollout", reference=True, rows="mixed", gather=True)
LARGEST_LOG_RATIO = 80.0
"""exp of more is infinite in float32."""


@dataclass(frozen=True, slots=True)
class Hparams:
    """The defaults are the released ppo.yaml's."""

    is_repaired: bool = False
    """As HALOs HEAD repaired it: the ratio is clipped to [1 − c, 1 + c], a value's target has the token's own reward,
    and the KL term is of log π/π_ref."""
    kl_coef: Annotated[float, ">= 0"] = 0.1
    """Weight of mean log π_ref/π in the loss."""
    cliprange: Annotated[float, "0 < x < 1"] = 0.5
    """c. The ratio is clipped to [c, 1/c]."""
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


def whiten(advantages: Tensor, mask: Tensor) -> Tensor:
    """(B, T) shifted and scaled to mean 0 and variance 1, by n, over the tokens of the mask."""
    n = mask.sum().clamp(min=1)
    centred = advantages - (advantages * mask).sum() / n
    variance = (centred.square() * mask).sum() / n
    return centred * torch.rsqrt(variance + 1e-8)


def advantages_and_targets(batch: RolloutBatch, hp: Hparams) -> tuple[Tensor, Tensor]:
    """Whitened advantages and what the values should be, both (B, T) and without gradient.

    δ_t = r_t + γ V_{t+1} − V_t, A_t = Σ_{s≥t} (γλ)^(s−t) δ_s. Targets are Σ_{s>t} γ^(s−t−1) r_s, without the token's
    own reward, so that the last one's is 0; repaired: Σ_{s≥t} γ^(s−t) r_s.
    """
    mask = batch.mask.to(batch.old_values)
    rewards, values = batch.rewards * mask, batch.old_values * mask
    following = F.pad(values[:, 1:], (0, 1))
    # Eq. 11, 12 of PPO; trainers.py:1155-1157.
    advantages = discounted_sums(rewards + hp.gamma * following - values, hp.gamma * hp.lam) * mask
    targets = discounted_sums(rewards, hp.gamma)
    if not hp.is_repaired:
        targets = F.pad(targets[:, 1:], (0, 1))  # trainers.py:1159-1160: appended before the update
    return (whiten(advantages, mask) * mask).detach(), (targets * mask).detach()


def policy_losses(batch: RolloutBatch, advantages: Tensor, hp: Hparams) -> tuple[Tensor, Tensor]:
    """Clipped surrogate of each token (B, T), and where the clip decides, (B, T) bool."""
    ratios = (batch.policy_logps - batch.old_logps).clamp(max=LARGEST_LOG_RATIO).exp()
    low, high = (1 - hp.cliprange, 1 + hp.cliprange) if hp.is_repaired else (hp.cliprange, 1 / hp.cliprange)
    free, clipped = -advantages * ratios, -advantages * ratios.clamp(low, high)
    return torch.maximum(free, clipped), clipped > free  # Eq. 7 of PPO with another clip; trainers.py:1188-1191


def value_losses(batch: RolloutBatch, targets: Tensor, _hp: Hparams) -> Tensor:
    """Half the squared error of each token's value, (B, T)."""
    return 0.5 * (batch.values - targets).square()


def token_losses(batch: RolloutBatch, advantages: Tensor, targets: Tensor, hp: Hparams) -> Tensor:
    """The whole loss of each token, (B, T), 0 where masked."""
    losses = policy_losses(batch, advantages, hp)[0] + hp.critic_coef * value_losses(batch, targets, hp)
    pull = batch.ref_logps - batch.policy_logps  # trainers.py:1193-1195
    losses = losses + hp.kl_coef * (-pull if hp.is_repaired else pull)
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
