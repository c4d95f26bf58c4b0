"""Lemma 4/8 with Corollaries 4 and 5: scores step by step, where M positives share one score and one weight and N
negatives another; and Remark 4, where their linear approximation ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from methods import swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.claims import Claim
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.gradients import EXACT, gradient, swepo_hparams

ETA = 0.01
STEPS = 300
BREAKS_AT = 0.1
"""Relative error of the linear approximation that counts as its end."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Sizes and weights of the two groups; the weights follow from rewards, as in the method."""

    m: int
    n: int
    weight: str
    strength: float

    @property
    def rewards(self) -> Array:
        """(1, M + N) with mean 5: positives N/(M+N)·4 above it, negatives M/(M+N)·4 below."""
        total = self.m + self.n
        return np.array([[5 + 4 * self.n / total] * self.m + [5 - 4 * self.m / total] * self.n])

    @property
    def weights(self) -> tuple[float, float]:
        """w⁺, w⁻"""
        both = formulas.deviation_weights(self.rewards, self.weight, self.strength)
        return float(both[0, 0]), float(both[0, -1])

    @property
    def name(self) -> str:
        return f"M={self.m} N={self.n} {self.weight} {self.strength:g}"


PLAIN = Groups(1, 1, "power", 0)
CASES = [PLAIN, Groups(1, 3, "power", 0), Groups(3, 1, "power", 1), Groups(2, 2, "power", 1),
         Groups(1, 3, "power", 2), Groups(2, 6, "exp", 0.5)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Scores (STEPS + 1, 2) of a positive and a negative, from 0: real descent, and the recursion of Eq. 29."""

    groups: Groups
    descent: Array
    recursion: Array

    @property
    def linear(self) -> Array:
        """(STEPS + 1,) of positives: the first step, again and again."""
        first = ETA * formulas.positive_step(0.0, self.groups.m, self.groups.n, *self.groups.weights)
        return first * np.arange(STEPS + 1, dtype=np.float64)

    @property
    def linear_error(self) -> Array:
        """(STEPS,) relative, of steps 1, 2, …"""
        return self.linear[1:] / self.descent[1:, 0] - 1

    @property
    def breaks_at_step(self) -> int:
        """First step where the linear approximation is off by more than BREAKS_AT; STEPS + 1 if it never is."""
        late = np.flatnonzero(np.abs(self.linear_error) > BREAKS_AT)
        return int(late[0]) + 1 if late.size else STEPS + 1


def run(groups: Groups) -> Trajectory:
    """Plain gradient descent on the real loss, step ETA, and Eq. 29 beside it."""
    hp = swepo_hparams("k1_vs_k2", groups.weight, groups.strength)
    s, recursion = np.zeros((1, groups.m + groups.n)), np.zeros((STEPS + 1, 2))
    descent = np.zeros((STEPS + 1, 2))
    for step in range(STEPS):
        s = s - ETA * gradient(swepo.loss, hp, groups.rewards, s)
        descent[step + 1] = s[0, 0], s[0, -1]
        sizes = groups.m, groups.n, *groups.weights
        gap = recursion[step, 0] - recursion[step, 1]
        moves = formulas.positive_step(gap, *sizes), formulas.negative_step(gap, *sizes)
        recursion[step + 1] = recursion[step] + ETA * np.array(moves)
    return Trajectory(groups, descent, recursion)


def predicted_break(groups: Groups) -> float:
    """Step at which the linear approximation is off by BREAKS_AT, from the closed form of the gradient flow.

    One step later than the flow: descent's first step is the linear approximation itself. With
    u = s⁺ − s⁻ from 0, integrating Eq. 29 and its counterpart for negatives gives
    M w⁺ (e^u − 1) + N w⁻ u = (N/M + 1) w⁻ η t; the linear approximation is (N/M + 1) w⁻ η t = (M w⁺ + N w⁻) u.
    """
    w_pos, w_neg = groups.weights
    a, b = groups.m * w_pos, groups.n * w_neg

    def excess(u: float) -> float:
        return (a * math.expm1(u) + b * u) / ((a + b) * u) - 1 - BREAKS_AT

    u = float(brentq(excess, 1e-6, 50.0))  # pyright: ignore[reportArgumentType]
    return (a * math.expm1(u) + b * u) / ((groups.n / groups.m + 1) * w_neg * ETA) + 1


def claims(trajectories: list[Trajectory]) -> list[Claim]:
    plain = trajectories[0]
    errors = np.max([np.abs(t.descent - t.recursion).max(axis=0) for t in trajectories], axis=0)
    first = max(abs(t.descent[1, 0] / t.linear[1] - 1) for t in trajectories)
    highest = max(float((t.descent[1:, 0] / t.linear[1:]).max()) for t in trajectories)
    lowest = min(float(t.descent[-1, 0] / t.linear[-1]) for t in trajectories)
    cases = f"{STEPS} steps of η = {ETA}; {', '.join(t.groups.name for t in trajectories)}"
    growth = plain.linear_error[1:6] / (ETA * np.arange(1, 6))  # at steps t = 2 … 6, over η (t − 1)
    found = [
        Claim.of("positive_steps", float(errors[0]), tolerance=EXACT, cases=cases),
        Claim.of("negative_steps", float(errors[1]), tolerance=EXACT, cases=cases),
        Claim.of("first_step", first, tolerance=EXACT, cases=cases),
        Claim.of("any_step", highest, tolerance=EXACT, steps=STEPS, lowest=100 * lowest, cases=cases),
        Claim.of("first_step_of_dpo", float(plain.descent[1, 0] / ETA), tolerance=EXACT),
        Claim.of("any_step_of_dpo", float(growth.mean())),
    ]
    for t in trajectories[:2]:
        at, expected = t.breaks_at_step, predicted_break(t.groups)
        found.append(Claim.of("linear_breaks", at, expected=expected, case=t.groups.name, eta=ETA, at=at * ETA))
    return found
