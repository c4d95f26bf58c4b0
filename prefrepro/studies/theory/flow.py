"""Theorem 2/4, Lemma 3/10 and Remark 2/5: where gradient flow on free scores comes to rest, under the real losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp

from methods import infonca, swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.gradients import WEIGHTS, Loss, draw, gradient, infonca_hparams, swepo_hparams, values

PROMPTS, RESPONSES = 4, 4
ALPHA = 4.0
TIMES = np.concatenate([[0.0], np.logspace(-1, 6, 71)])
RATE_FROM = 1e4
"""The 1/t of the negatives' weighted share is fitted from here on."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left at each of TIMES, the largest of all prompts."""

    mismatch: Array
    """(times,) of InfoNCA: |p_model − p_target|"""
    negative_mass: dict[str, Array]
    """(times,) of Swepo, by grouping and weight: the negatives' share of softmax(s)"""
    weighted_share: dict[str, Array]
    """(times, prompts) of Swepo: the negatives' Σ p^w, which is 1 − e^(−loss)"""
    loss: float
    """Swepo's, the largest at the end"""
    falling: float
    """Share of the steps from a time to the next in which a negative's score falls"""


def flow(loss: Loss, hp: Any, rewards: Array, start: Array, times: Array = TIMES) -> Array:
    """(times, B, K) scores under ds/dt = −dL/ds from `start`."""

    def slope(_: float, s: Array) -> Array:
        return -gradient(loss, hp, rewards, s.reshape(rewards.shape)).ravel()

    done = solve_ivp(slope, (times[0], times[-1]), start.ravel(), "LSODA", times, rtol=1e-6, atol=1e-9)
    if not done.success:
        raise RuntimeError(f"gradient flow did not reach t = {times[-1]:g}: {done.message}")
    return done.y.T.reshape(-1, *rewards.shape)


def measure(seed: int) -> Rest:
    """Random starts and rewards, one flow per loss and setting."""
    rng = np.random.default_rng(seed)
    start, rewards = draw(rng, RESPONSES, PROMPTS)
    s = flow(infonca.loss, infonca_hparams(ALPHA), rewards, start)
    mismatch = np.abs(formulas.softmax(s) - formulas.target(rewards, ALPHA)).max(axis=(1, 2))
    masses, weighted, losses, falls = {}, {}, [], []
    for group, weight, strength in WEIGHTS:
        hp = swepo_hparams(group, weight, strength)
        s = flow(swepo.loss, hp, rewards, start)
        negative = ~formulas.positives(rewards, group)
        name = f"{group} {weight} {strength:g}"
        masses[name] = (formulas.softmax(s) * negative).sum(axis=-1).max(axis=-1)
        log_weights = np.log(formulas.deviation_weights(rewards, weight, strength))
        weighted[name] = (formulas.softmax(s + log_weights) * negative).sum(axis=-1)
        losses.append(float(values(swepo.loss, hp, rewards, torch.from_numpy(s[-1])).max()))
        falls.append((np.diff(s, axis=0) < 0)[:, negative].ravel())
    return Rest(mismatch, masses, weighted, max(losses), float(np.concatenate(falls).mean()))


def claims(rest: Rest) -> list[Claim]:
    late = TIMES >= RATE_FROM
    lines = [np.polyfit(np.log(TIMES[late]), np.log(share[late]), 1)[0] for share in rest.weighted_share.values()]
    rates = np.concatenate(lines)
    worst = max(rest.negative_mass, key=lambda name: rest.negative_mass[name][-1])
    about = {
        "settings": f"{len(rest.negative_mass)} groupings and weights × {PROMPTS} prompts",
        "prompts": PROMPTS,
        "times": len(TIMES),
        "end": TIMES[-1],
    }
    return [
        Claim.of("infonca_rest", float(rest.mismatch[-1]), **about),
        Claim.of("negatives_vanish", float(rest.negative_mass[worst][-1]), worst=worst, **about),
        Claim.of("negatives_rate", float(rates[np.abs(rates + 1).argmax()]), rate_from=RATE_FROM, **about),
        Claim.of("loss_vanishes", rest.loss, **about),
        Claim.of("negatives_fall", rest.falling, **about),
    ]
