"""Theorem 1/3, Corollary 1/2: the expected bias of a mean over k sampled acceptable responses falls as 1/√k.

μ^(k) is taken as the plain mean of a bounded attribute over k independent acceptable responses [inferred]: the
policy that has learned from these k has that mean if it gives each of them the same share. `top_share` asks
whether the dynamics of the same paper lead there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm

from methods import swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.flow import flow
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.gradients import swepo_hparams

COUNTS = np.arange(1, 65)
REPETITIONS = 20_000
"""Per k, independent of the other k: then the points of the fit are independent too."""
FAR, FAR_REPETITIONS = 10_000, 2_000
"""k and repetitions of Corollary 1/2."""
SIDE, END = 8, 1e6
"""Positives, negatives and time of `top_share`."""

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A distribution of a(y) in [0, 1] over acceptable responses."""

    name: str
    mean: float
    deviation: float
    draw: Draw


ATTRIBUTES = [
    Attribute("normal(0.5, 0.1), clipped to [0, 1]", 0.5, 0.1, lambda rng, size: rng.normal(0.5, 0.1, size).clip(0, 1)),
    Attribute("uniform(0, 1)", 0.5, 1 / math.sqrt(12), lambda rng, size: rng.random(size)),
    Attribute("1 with probability 0.3, else 0", 0.3, math.sqrt(0.21),
              lambda rng, size: (rng.random(size) < 0.3).astype(np.float64)),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bias:
    """E|μ^(k) − μ_A| for each of COUNTS."""

    attribute: Attribute
    mean_bias: Array

    @property
    def constants(self) -> Array:
        """E[B^(k)] √k / σ: the bound with C = σ holds where it is at most 1."""
        return self.mean_bias * np.sqrt(COUNTS) / self.attribute.deviation

    def slope(self) -> tuple[float, float, float]:
        """Slope of log E[B^(k)] over log k, and its 95 % interval (least squares)."""
        fit = sm.OLS(np.log(self.mean_bias), sm.add_constant(np.log(COUNTS))).fit()
        low, high = fit.conf_int(alpha=0.05)[1]
        return float(fit.params[1]), float(low), float(high)


def simulate(attribute: Attribute, seed: int, repetitions: int = REPETITIONS) -> Bias:
    rng = np.random.default_rng(seed)
    means = (attribute.draw(rng, (repetitions, k)).mean(axis=1) for k in COUNTS.tolist())
    return Bias(attribute, np.array([np.abs(mean - attribute.mean).mean() for mean in means]))


def far(attribute: Attribute, seed: int) -> float:
    """E|μ^(k) − μ_A| at k = FAR, over that at k = 1."""
    rng = np.random.default_rng(seed)
    means = [attribute.draw(rng, (FAR_REPETITIONS, 1)), attribute.draw(rng, (FAR_REPETITIONS, FAR))]
    one, many = (float(np.abs(drawn.mean(axis=1) - attribute.mean).mean()) for drawn in means)
    return many / one


def top_share(seed: int, p: int) -> float:
    """Share of the positives' mass that the best-rewarded one holds at the end of Swepo's flow from equal scores.

    Mean over 20 prompts of SIDE positives and SIDE negatives.
    """
    rng = np.random.default_rng(seed)
    rewards = np.concatenate([rng.uniform(6, 10, (20, SIDE)), rng.uniform(0, 4, (20, SIDE))], axis=1)
    hp = swepo_hparams("k1_vs_k2", "power", p)
    s = flow(swepo.loss, hp, rewards, np.zeros_like(rewards), np.array([0.0, END]))[-1]
    positive = formulas.softmax(s[:, :SIDE])
    return float(np.take_along_axis(positive, rewards[:, :SIDE].argmax(axis=1)[:, None], axis=1).mean())


def claims(biases: list[Bias], seed: int) -> list[Claim]:
    slope, low, high = biases[0].slope()
    worst = max(biases, key=lambda bias: bias.constants.max())
    late = float(biases[0].constants[COUNTS >= 32].mean())
    others = "; ".join(f"{bias.attribute.name}: {bias.slope()[0]:.4f}" for bias in biases[1:])
    first = biases[0].attribute.name
    return [
        Claim.of(
            "bias_slope", slope, tolerance=(high - low) / 2, low=low, high=high, points=len(COUNTS),
            repetitions=REPETITIONS, attribute=first, others=others,
        ),
        Claim.of(
            "bias_bound", float(worst.constants.max()), attributes=len(biases), attribute=worst.attribute.name
        ),
        Claim.of("bias_constant", late, expected=math.sqrt(2 / math.pi), attribute=first),
        Claim.of(
            "bias_far", far(ATTRIBUTES[0], seed), expected=FAR**-0.5, far=FAR, attribute=ATTRIBUTES[0].name,
            repetitions=FAR_REPETITIONS,
        ),
        Claim.of("flow_of_equal_weights", top_share(seed, 0), expected=1 / SIDE, side=SIDE),
        Claim.of("flow_of_unequal_weights", top_share(seed, 1), expected=1 / SIDE, side=SIDE, end=END),
    ]  # fmt: skip
