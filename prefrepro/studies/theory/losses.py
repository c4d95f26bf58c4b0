"""The losses of `methods` as functions of free scores: no model, a number per response. Gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from methods import infonca, swepo
from methods.contract import LossOutput, RankedBatch
from prefrepro.studies.theory.formulas import Array

Loss = Callable[[RankedBatch, Any], LossOutput]


def infonca_hparams(alpha: float) -> infonca.Hparams:
    """The text's form: s is the log-ratio itself, no bonus for the first response."""
    return infonca.Hparams(beta=1.0, temperature_alpha=alpha, first_bonus=0.0)


def swepo_hparams(group: Any, weight: Any, strength: float) -> swepo.Hparams:
    """The text's form: s is the log-ratio itself. `strength` is p of the power or α of the exponential."""
    if weight == "power":
        return swepo.Hparams(beta=1.0, group=group, weight=weight, p=strength)  # pyright: ignore[reportArgumentType]
    return swepo.Hparams(beta=1.0, group=group, weight=weight, alpha=strength)


def values(loss: Loss, hp: Any, rewards: Array, log_ratios: Tensor) -> Tensor:
    """(B,) losses of a real method at (B, K) log-ratios; the reference gives every response log-prob 0."""
    scores = torch.from_numpy(rewards)
    ones = torch.ones_like(scores)
    return loss(RankedBatch(log_ratios, torch.zeros_like(log_ratios), scores, ones.bool(), ones), hp).losses


def gradient(loss: Loss, hp: Any, rewards: Array, log_ratios: Array) -> Array:
    """(B, K) of each row's own loss, by autograd."""
    leaf = torch.from_numpy(log_ratios.copy()).requires_grad_()
    (slope,) = torch.autograd.grad(values(loss, hp, rewards, leaf).sum(), leaf)
    return slope.numpy()
