"""claims.csv as a whole: every claim that should agree does, twice the same, and a wrong equation is caught."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.studies.theory import bias, flow, formulas, plot, trajectory
from prefrepro.studies.theory.bias import ATTRIBUTES, COUNTS, Bias
from prefrepro.studies.theory.claims import SCHEMA, Claim, to_frame
from prefrepro.studies.theory.run import Measured, measure
from prefrepro.studies.theory.trajectory import ETA, PLAIN, Groups

NOT_MEASURABLE = {
    "Corollary 3",
    "Eq. 7",
    "Lemma 7",
    "Text: 42 %",
    "Text: Evaluator LM",
    "Text: InfoNCA (Paper)",
    "Text: Tables 1 and 3",
    "Text: weights",
    "Theorem 1/3 and Theorem 2/4, Lemma 3/10",
}
"""Claims with a row where the text contradicts itself or is not known."""


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


def test_whatever_can_agree_agrees() -> None:
    assert {claim.claim for claim in rows() if claim.agrees == "inconsistent"} == NOT_MEASURABLE
    assert not [claim for claim in rows() if claim.agrees == "no"]
    wanted = ("Theorem 1/3", "Theorem 2/4", "Lemma 1/5", "Lemma 2/6", "Lemma 4/8", "Corollaries 4-5", "Lemma 9")
    for name in wanted:
        assert any(claim.claim.startswith(name) and claim.agrees == "yes" for claim in rows()), name


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
    assert Claim("x", "y", "z [inferred]", expected, found, 0.1, is_bound=is_bound).agrees == agrees


def test_a_number_that_is_none_cannot_be_written(tmp_path: Path) -> None:
    claim = Claim("x", "y", "z [inferred]", 1.0, math.nan, 0.1)
    with pytest.raises(UserError, match="do not go together"):
        write_csv(to_frame([claim]), tmp_path / "claims.csv", SCHEMA)


def test_a_wrong_equation_29_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """M in place of M² before w⁺ e^{s⁺}: right for M = 1 only."""

    def wrong(gap: float, m: int, n: int, w_pos: float, w_neg: float) -> float:
        return n * w_neg / (m * (w_pos * np.exp(gap) + n * w_neg))

    monkeypatch.setattr(formulas, "positive_step", wrong)
    found = trajectory.claims([trajectory.run(groups) for groups in (PLAIN, Groups(3, 1, "power", 1))])
    assert [claim.agrees for claim in found if "positives" in claim.statement] == ["no"]


def test_a_bias_that_falls_as_the_fourth_root_is_caught() -> None:
    slow = [Bias(a, 1.1 * a.deviation * COUNTS.astype(np.float64) ** -0.25) for a in ATTRIBUTES]
    assert [claim.agrees for claim in bias.claims(slow, 0)[:3]] == ["no", "no", "no"]


def test_negatives_that_stay_are_caught() -> None:
    rest = measured().rest
    stuck = {name: np.full_like(mass, 0.01) for name, mass in rest.negative_mass.items()}
    shares = {name: np.full_like(share, 0.01) for name, share in rest.weighted_share.items()}
    found = flow.claims(flow.Rest(rest.mismatch + 0.01, stuck, shares))
    assert [claim.agrees for claim in found] == ["no"] * 3


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
        plot.page(m.of_infonca, m.of_swepo, m.rest, m.trajectories, m.biases, tmp_path / name)
    image = (tmp_path / "first.png").read_bytes()
    assert image.startswith(b"\x89PNG") and image == (tmp_path / "second.png").read_bytes()
    assert "matplotlib.pyplot" not in sys.modules
