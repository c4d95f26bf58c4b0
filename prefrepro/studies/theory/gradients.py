"""Lemmas 1/5 and 2/6, gradients by the scores, and the β that the text leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from methods import infonca, swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.losses import gradient, infonca_hparams, swepo_hparams

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


@dataclass(frozen=True, slots=True)
class Gradients:
    """dL/ds of every response of every draw: by the formula, and by autograd of the real loss."""

    formula: Array
    autograd: Array

    @property
    def error(self) -> float:
        return float(np.abs(self.formula - self.autograd).max())


def draw(rng: np.random.Generator, responses: int, rows: int = ROWS) -> tuple[Array, Array]:
    """Free scores, and rewards on UltraFeedback's scale of 0-10; both (rows, responses)."""
    return rng.normal(0, 3, (rows, responses)), rng.uniform(0, 10, (rows, responses))


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
    rng, pairs = np.random.default_rng(seed), []
    for responses in RESPONSES:
        for group, weight, strength in WEIGHTS:
            s, rewards = draw(rng, responses)
            measured = gradient(swepo.loss, swepo_hparams(group, weight, strength), rewards, s)
            weights = formulas.deviation_weights(rewards, weight, strength)
            pairs.append((formula(s, weights, formulas.positives(rewards, group)).ravel(), measured.ravel()))
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
