"""Lemmas 1/5 and 2/6, gradients by the scores, and the β that the text leaves out.

The losses of `methods` are functions of free scores here: no model, a number per response. Gradients by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods import infonca, swepo
from methods.contract import LossOutput, RankedBatch
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.formulas import Array

ROWS = 50
"""Random prompts per number of responses and setting."""
RESPONSES = range(2, 9)
TEMPERATURES = (0.5, 2.0, 10.0)
WEIGHTS: list[tuple[str, str, float]] = [
    (group, weight, strength)
    for group in ("k1_vs_k2", "1_vs_k")
    for weight, strength in (("power", 0), ("power", 1), ("power", 2), ("exp", 0.5))
]
EXACT = 1e-12
"""Tolerance of float64 where formula and autograd are the same function."""
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


def gradient(
    loss: Loss, hp: Any, rewards: Array, at: Array, log_ratios: Callable[[Tensor], Tensor] = lambda scores: scores
) -> Array:
    """(B, K) of each row's own loss, by autograd, with respect to `at`, of which `log_ratios` makes log-ratios."""
    leaf = torch.from_numpy(at.copy()).requires_grad_()
    (slope,) = torch.autograd.grad(values(loss, hp, rewards, log_ratios(leaf)).sum(), leaf)
    return slope.numpy()


@dataclass(frozen=True, slots=True)
class Gradients:
    """dL/ds of every response of every draw: by the formula, and by autograd of the real loss."""

    formula: Array
    autograd: Array

    @property
    def error(self) -> float:
        return float(np.abs(self.formula - self.autograd).max())


@dataclass(frozen=True, slots=True)
class Drawn:
    """Random scores and rewards (rows, responses), and what a setting of Swepo makes of the rewards."""

    hp: swepo.Hparams
    scores: Array
    rewards: Array
    positive: formulas.Mask
    weights: Array


def draw(rng: np.random.Generator, responses: int, rows: int = ROWS) -> tuple[Array, Array]:
    """Free scores, and rewards on UltraFeedback's scale of 0-10; both (rows, responses)."""
    return rng.normal(0, 3, (rows, responses)), rng.uniform(0, 10, (rows, responses))


def draws(rng: np.random.Generator, sizes: Iterable[int] = RESPONSES) -> Iterator[Drawn]:
    """Both groupings and all weights, for each number of responses."""
    for responses in sizes:
        for group, weight, strength in WEIGHTS:
            s, rewards = draw(rng, responses)
            positive, weights = (
                formulas.positives(rewards, group),
                formulas.deviation_weights(rewards, weight, strength),
            )
            yield Drawn(swepo_hparams(group, weight, strength), s, rewards, positive, weights)


def infonca_gradients(seed: int, formula: Callable[[Array, Array], Array] = formulas.infonca_gradient) -> Gradients:
    """Over random draws, numbers of responses and temperatures."""
    rng, pairs = np.random.default_rng(seed), []
    for responses in RESPONSES:
        for alpha in TEMPERATURES:
            s, rewards = draw(rng, responses)
            measured = gradient(infonca.loss, infonca_hparams(alpha), rewards, s)
            pairs.append((formula(s, formulas.target(rewards, alpha)).ravel(), measured.ravel()))
    return Gradients(*map(np.concatenate, zip(*pairs, strict=True)))


def swepo_gradients(
    seed: int, formula: Callable[[Array, Array, formulas.Mask], Array] = formulas.swepo_gradient
) -> Gradients:
    """Over random draws, numbers of responses, both groupings and all weights."""
    pairs = []
    for one in draws(np.random.default_rng(seed)):
        measured = gradient(swepo.loss, one.hp, one.rewards, one.scores)
        pairs.append((formula(one.scores, one.weights, one.positive).ravel(), measured.ravel()))
    return Gradients(*map(np.concatenate, zip(*pairs, strict=True)))


def slope_of_default(seed: int) -> float:
    """dL/d log π over p_model − p_target, at InfoNCA's default β."""
    log_ratios, rewards = draw(np.random.default_rng(seed), 4)
    hp = infonca.Hparams(temperature_alpha=2.0, first_bonus=0.0)
    exact = formulas.infonca_gradient(hp.beta * log_ratios, formulas.target(rewards, 2.0))
    measured = gradient(infonca.loss, hp, rewards, log_ratios)
    return float((measured * exact).sum() / (exact * exact).sum())


def claims(of_infonca: Gradients, of_swepo: Gradients, seed: int) -> list[Claim]:
    """`seed` draws what β is measured on."""
    return [
        Claim.of("infonca_gradient", of_infonca.error, tolerance=EXACT, size=of_infonca.formula.size),
        Claim.of("swepo_gradient", of_swepo.error, tolerance=EXACT, size=of_swepo.formula.size),
        Claim.of("no_beta", slope_of_default(seed), tolerance=EXACT),
        Claim.of("two_weights"),
    ]
