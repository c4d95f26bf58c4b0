"""The right-hand sides of Swepo's equations, in numpy and apart from `methods`: what a measurement is held against.

Rows are prompts, columns their responses. Numbers of the equations: docs/protocol.md#swepo-equations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def shares(weights: Array) -> Array:
    """Rows divided by their sums."""
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax(s: Array) -> Array:
    return shares(np.exp(s - s.max(axis=-1, keepdims=True)))


def target(rewards: Array, alpha: float) -> Array:
    """p_target = softmax(S / α), Eq. 22-23."""
    return softmax(rewards / alpha)


def infonca_gradient(s: Array, p_target: Array) -> Array:
    """dL/ds = p_model − p_target, Eq. 25."""
    return softmax(s) - p_target


def positives(rewards: Array, group: str) -> Mask:
    """Y⁺, Eq. 3: above the mean; under 1_vs_k the best response alone."""
    if group == "1_vs_k":
        return np.arange(rewards.shape[-1]) == rewards.argmax(axis=-1)[:, None]
    return rewards > rewards.mean(axis=-1, keepdims=True)


def deviation_weights(rewards: Array, weight: str, strength: float) -> Array:
    """w = |S − mean|^p, Eq. 15-16, or exp(α |S − mean|), Eq. 5-6."""
    size = np.abs(rewards - rewards.mean(axis=-1, keepdims=True))
    return size**strength if weight == "power" else np.exp(strength * size)


def swepo_gradient(s: Array, weights: Array, positive: Mask) -> Array:
    """dL/ds = p^w − p^+, Eq. 26-27."""
    weighted = weights * np.exp(s - s.max(axis=-1, keepdims=True))  # Eq. 8
    return shares(weighted) - shares(np.where(positive, weighted, 0))


def positive_step(gap: float, m: int, n: int, w_pos: float, w_neg: float) -> float:
    """(s⁺_{t+1} − s⁺_t) / η where the M positives share one score and the N negatives another, Eq. 29.

    `gap` is s⁺ − s⁻; both exponentials of Eq. 29 are divided by e^{s⁻}.
    """
    return n * w_neg / (m * (m * w_pos * np.exp(gap) + n * w_neg))


def negative_step(gap: float, m: int, n: int, w_pos: float, w_neg: float) -> float:
    """(s⁻_{t+1} − s⁻_t) / η: Eq. 26 for a negative."""
    return -w_neg / (m * w_pos * np.exp(gap) + n * w_neg)
