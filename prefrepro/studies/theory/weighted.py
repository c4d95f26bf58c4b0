"""Lemma 7 and Corollary 3, the weighted loss by the policy's probabilities; Lemma 9, positives with weights of their
own; and Remark 1/3, what InfoNCA's point of rest makes of the policy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from methods import infonca, swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.gradients import EXACT, draw, draws, gradient, infonca_hparams, swepo_hparams

ROWS = 500
STEP = 1e-4
"""Size of a descent step where only the sign of a change matters"""
ALPHA = 4.0
ETA = 1e-3
ITERATIONS = 10
"""Learning rate and steps of Lemma 9"""


def probability_gradient(weights: Array, positive: formulas.Mask, policy: Array, reference: Array) -> Array:
    """dL/dπ_i, Eq. 67-68, every probability taken as a variable of its own."""
    ratio = weights / reference
    above = (ratio * policy * positive).sum(axis=-1, keepdims=True)
    below = (ratio * policy).sum(axis=-1, keepdims=True)
    return np.where(positive, -ratio * (1 / above - 1 / below), ratio / below)


def by_probability(
    seed: int, formula: Callable[[Array, formulas.Mask, Array, Array], Array] = probability_gradient
) -> tuple[float, float, int]:
    """(largest relative difference to autograd of methods/swepo, share of the signs of Corollary 3, responses)."""
    rng, errors, signs = np.random.default_rng(seed), [], []
    for one in draws(rng):
        reference, policy = formulas.softmax(rng.normal(0, 1, one.scores.shape)), formulas.softmax(one.scores)
        log_reference = torch.from_numpy(reference).log()
        measured = gradient(swepo.loss, one.hp, one.rewards, policy, lambda of, ref=log_reference: of.log() - ref)
        expected = formula(one.weights, one.positive, policy, reference)
        errors.append(np.abs(measured - expected).max() / np.abs(expected).max())
        signs.append((np.sign(measured) == np.where(one.positive, -1, 1)).ravel())
    found = np.concatenate(signs)
    return float(max(errors)), float(found.mean()), found.size


def shares_that_rise(seed: int) -> tuple[float, float]:
    """Shares of positives and of negatives whose probability a step of descent by a softmax policy's logits raises."""
    rng = np.random.default_rng(seed)
    logits, rewards = draw(rng, 6, rows=ROWS)
    reference = torch.from_numpy(rng.normal(0, 1, logits.shape)).log_softmax(-1)
    hp = swepo_hparams("k1_vs_k2", "power", 1)
    slope = gradient(swepo.loss, hp, rewards, logits, lambda of: of.log_softmax(-1) - reference)
    after, before = (torch.from_numpy(one).softmax(-1) for one in (logits - STEP * slope, logits))
    rises = (after > before).numpy()
    positive = formulas.positives(rewards, "k1_vs_k2")
    return float(rises[positive].mean()), float(rises[~positive].mean())


def share_of_right_moves(seed: int) -> float:
    """Share of responses whose score a step of descent moves as its group should: positives up, negatives down."""
    s, rewards = draw(np.random.default_rng(seed), 6, rows=ROWS)
    moves = -gradient(swepo.loss, swepo_hparams("k1_vs_k2", "power", 1), rewards, s)
    return float((np.sign(moves) == np.where(formulas.positives(rewards, "k1_vs_k2"), 1, -1)).mean())


def slopes_at(seed: int) -> tuple[float, float, float]:
    """Largest |dL/d logit| of InfoNCA by a softmax policy: at π ∝ π_ref · target; at π = target; there, π_ref level."""
    rng = np.random.default_rng(seed)
    logits, rewards = draw(rng, 4, rows=ROWS)
    log_target = np.log(formulas.target(rewards, ALPHA))
    reference = np.log(formulas.softmax(logits / 3))
    level = np.full_like(reference, -np.log(4))

    def slope(policy: Array, ref: Array) -> float:
        hp, log_reference = infonca_hparams(ALPHA), torch.from_numpy(ref)
        found = gradient(infonca.loss, hp, rewards, policy, lambda of: of.log_softmax(-1) - log_reference)
        return float(np.abs(found).max())

    return slope(reference + log_target, reference), slope(log_target, reference), slope(log_target, level)


def linear_score(weights: Array, positive: formulas.Mask, eta: float, t: int) -> Array:
    """η t w_i W⁻ / (W⁺ (W⁺ + W⁻)) of positives, 0 of negatives, Eq. 97."""
    above = np.where(positive, weights, 0).sum(axis=-1, keepdims=True)
    below = weights.sum(axis=-1, keepdims=True)
    return np.where(positive, eta * t * weights * (below - above) / (above * below), 0)


def linear_errors(seed: int, eta: float, t: int, formula: Callable[..., Array] = linear_score) -> Array:
    """Errors of Lemma 9 after t steps of descent from 0, relative to each positive's score, over all weights."""
    errors = []
    for one in draws(np.random.default_rng(seed), [6]):
        s = np.zeros_like(one.rewards)
        for _ in range(t):
            s = s - eta * gradient(swepo.loss, one.hp, one.rewards, s)
        expected = formula(one.weights, one.positive, eta, t)
        errors.append((expected[one.positive] - s[one.positive]) / s[one.positive])
    return np.concatenate(errors)


def claims(seed: int) -> list[Claim]:
    """`seed` draws policies, references and rewards."""
    error, signs, size = by_probability(seed)
    up, wrong = shares_that_rise(seed)
    rest, unlevel, level = slopes_at(seed)
    first = float(np.abs(linear_errors(seed, ETA, 1)).max())
    whole, half = (float(np.abs(linear_errors(seed, eta, ITERATIONS)).mean()) for eta in (ETA, ETA / 2))
    return [
        Claim.of("probability_gradient", error, tolerance=EXACT, size=size),
        Claim.of("signs", signs, up=100 * up, wrong=100 * wrong),
        Claim.of("right_moves", share_of_right_moves(seed)),
        Claim.of("rest_of_policy", rest, tolerance=EXACT, rows=ROWS),
        Claim.of("rest_of_level_reference", level, tolerance=EXACT, unlevel=unlevel),
        Claim.of("first_iteration", first),
        Claim.of("halved_eta", whole / half, iterations=ITERATIONS, eta=ETA, error=100 * whole),
    ]
