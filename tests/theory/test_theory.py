"""claims.csv as a whole: every claim that should agree does, twice the same, and a wrong equation is caught."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methods import swepo
from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.studies.theory import bias, flow, formulas, plot, trajectory, weighted
from prefrepro.studies.theory.bias import ATTRIBUTES, COUNTS, Bias
from prefrepro.studies.theory.claims import SCHEMA, Claim, to_frame
from prefrepro.studies.theory.formulas import Array, Mask
from prefrepro.studies.theory.gradients import gradient, swepo_hparams
from prefrepro.studies.theory.run import Measured, measure
from prefrepro.studies.theory.trajectory import ETA, PLAIN, Groups

NUMBERED = {
    *(f"Theorem {n}" for n in range(1, 5)),
    *(f"Corollary {n}" for n in range(1, 6)),
    *(f"Lemma {n}" for n in range(1, 11)),
    *(f"Remark {n}" for n in range(1, 6)),
}
"""Every numbered statement of the text, with its appendix."""
INCONSISTENT = {"Eq. 7", "Eq. 5-6, 15-16", "Lemma 6, its proof", "Theorem 1/3"}
"""Claims with a row where the text contradicts itself."""


@functools.cache
def measured() -> Measured:
    return measure()


@functools.cache
def rows() -> tuple[Claim, ...]:
    return tuple(measured().claims())


def test_claims_are_written_and_read_back(tmp_path: Path) -> None:
    write_csv(to_frame(rows()), tmp_path / "claims.csv", SCHEMA)
    back = read_csv(tmp_path / "claims.csv", SCHEMA)
    assert len(back) == len(rows())
    assert set(back["agrees"]) == {"yes", "inconsistent"}


def test_every_numbered_statement_is_measured_and_agrees() -> None:
    agreeing = {claim.claim for claim in rows() if claim.agrees == "yes"}
    numbered = set[str]()
    for kind, numbers in (name.split(" ") for name in agreeing):
        numbered |= {f"{kind} {number}" for number in numbers.split("/")}
    assert numbered == NUMBERED


def test_only_what_contradicts_itself_does_not_agree() -> None:
    assert {claim.claim for claim in rows() if claim.agrees == "inconsistent"} == INCONSISTENT
    assert not [claim for claim in rows() if claim.agrees == "no"]


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, claims in (("first.csv", rows()), ("second.csv", measure().claims())):
        write_csv(to_frame(claims), tmp_path / name, SCHEMA)
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


@pytest.mark.parametrize(
    ("expected", "found", "is_bound", "agrees"),
    [(1.0, 1.05, False, "yes"), (1.0, 0.8, False, "no"), (1.0, 0.8, True, "yes"), (1.0, 1.2, True, "no"),
     (1.0, math.nan, False, "no"), (1.0, None, False, "no")],
)  # fmt: skip
def test_agreement(expected: float, found: float | None, is_bound: bool, agrees: str) -> None:
    assert Claim("Eq. 7", "y", "z [inferred]", expected, found, 0.1, is_bound=is_bound).agrees == agrees


def test_a_number_that_is_none_cannot_be_written(tmp_path: Path) -> None:
    claim = Claim("Eq. 7", "y", "z [inferred]", 1.0, math.nan, 0.1)
    with pytest.raises(UserError, match="do not go together"):
        write_csv(to_frame([claim]), tmp_path / "claims.csv", SCHEMA)


def test_a_wrong_equation_29_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """M in place of M² before w⁺ e^{s⁺}: right for M = 1 only."""

    def wrong(gap: float, m: int, n: int, w_pos: float, w_neg: float) -> float:
        return n * w_neg / (m * (w_pos * np.exp(gap) + n * w_neg))

    monkeypatch.setattr(formulas, "positive_step", wrong)
    found = trajectory.claims([trajectory.run(groups) for groups in (PLAIN, Groups(3, 1, "power", 1))])
    assert [claim.agrees for claim in found if "positives" in claim.tested] == ["no"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda *given: -weighted.probability_gradient(*given),
        lambda weights, positive, policy, reference: weighted.probability_gradient(
            np.ones_like(weights), positive, policy, reference
        ),
        lambda weights, positive, policy, reference: weighted.probability_gradient(
            weights, positive, policy, np.ones_like(reference)
        ),
    ],
)
def test_a_wrong_gradient_by_probabilities_is_caught(wrong: Any) -> None:
    error, _, _ = weighted.by_probability(1, wrong)
    assert error > 1e-3


@pytest.mark.parametrize("shift", [lambda w: np.ones_like(w), lambda w: w**2])
def test_a_linear_approximation_with_other_weights_is_caught(shift: Callable[[Array], Array]) -> None:
    """Lemma 9 is about positives of different weights: equal ones, or squares, are off at the first step."""

    def wrong(weights: Array, positive: Mask, eta: float, t: int) -> Array:
        return weighted.linear_score(shift(weights), positive, eta, t)

    assert np.abs(weighted.linear_errors(1, 1e-3, 1, wrong)).max() > 0.1


def test_probabilities_of_a_prompt_are_no_free_variables() -> None:
    """Corollary 3 by hand: positives π = .6, .1 of weight 1, negative .3; s = log π, η a small step of the logits.

    dL/dlogit = p^w − p^+ = π − π⁺/.7 = (−.257, −.043, .3), whose mean under π is −.154 − .004 + .09 = −.069. So the
    smaller positive moves by η (.043 − .069) < 0: its probability falls.
    """
    policy = np.array([[0.6, 0.1, 0.3]])
    rewards = np.array([[9.0, 9.0, 0.0]])
    slope = gradient(swepo.loss, swepo_hparams("k1_vs_k2", "power", 0), rewards, np.log(policy))
    moves = -(slope - (policy * slope).sum())
    assert np.sign(moves).tolist() == [[1, -1, -1]]
    up, wrong = weighted.shares_that_rise(0)
    assert 0.5 < up < 1 and 0 < wrong < 0.5


def test_a_bias_that_falls_as_the_fourth_root_is_caught() -> None:
    slow = [Bias(a, 1.1 * a.deviation * COUNTS.astype(np.float64) ** -0.25) for a in ATTRIBUTES]
    assert [claim.agrees for claim in bias.claims(slow, 0)[:3]] == ["no", "no", "no"]


def test_negatives_that_stay_are_caught() -> None:
    rest = measured().rest
    stuck = {name: np.full_like(mass, 0.01) for name, mass in rest.negative_mass.items()}
    shares = {name: np.full_like(share, 0.01) for name, share in rest.weighted_share.items()}
    found = flow.claims(flow.Rest(rest.mismatch + 0.01, stuck, shares, 0.01, 0.9))
    assert [claim.agrees for claim in found] == ["no"] * 5


def test_linear_approximation_ends_where_the_second_step_says() -> None:
    """M = N = 1: u + e^u − 1 = 2 η t and η t = 1.1 u, so e^u − 1 = 1.2 u, u = 0.3542, η t = 0.3896, plus one step."""
    assert trajectory.predicted_break(PLAIN) == pytest.approx(0.3896 / ETA + 1, abs=0.02)


def test_without_matplotlib_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="make setup"):
        plot.require()


def test_the_page_is_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: make setup")
    m = measured()
    for name in ("first.png", "second.png"):
        plot.page(m, tmp_path / name)
    image = (tmp_path / "first.png").read_bytes()
    assert image.startswith(b"\x89PNG") and image == (tmp_path / "second.png").read_bytes()
    assert "matplotlib.pyplot" not in sys.modules
