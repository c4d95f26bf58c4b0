"""What a training's curves show that a healthy one's do not: docs/log-probs.md."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from prefrepro.errors import UserError
from prefrepro.specs.method import read_method

FALL = 0.5
"""How far the chosen log-prob may fall, as a share of the reference's. A limit of our own; docs/methods-embedded.md
shows which rows are beyond it."""
PART = 4
"""The last quarter of what was logged stands for the end: one batch alone says little."""


def signs(rows: Sequence[Mapping[str, str]], beta: float | None) -> list[str]:
    """One sentence for each sign of trouble in the rows of a metrics.csv; none where nothing is odd.

    `beta`: of the method, whose rewards are β times the log-ratio; None where it has none.
    """
    found = []
    margin = _end(rows, "rewards/margins")
    if margin is not None and margin <= 0:
        found.append(
            f"The reward margin ends at {margin:.3g}: chosen responses gain nothing on rejected ones. Either nothing "
            "is learnt (learning rate, steps), or the sides are exchanged."
        )
    fall = fall_of(rows, beta)
    if fall is not None and fall > FALL:
        found.append(
            f"The chosen log-prob fell by {100 * fall:.0f} % of the reference's. A fall is usual, one of more than "
            "half is not: read samples, and compare a lower learning rate or a higher β at equal KL."
        )
    return found


def beta_of(row: Mapping[str, str]) -> float | None:
    """A run's β, from the `row` of its run.json; None where its rewards are not β times a log-ratio to a reference."""
    with contextlib.suppress(UserError):  # a method of then may be gone
        if not read_method(row["method"]).needs.get("reference", True):
            return None
    return json.loads(row.get("hparams") or "{}").get("beta")


def logged(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv; none where there is no such file."""
    path = run / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fall_of(rows: Sequence[Mapping[str, str]], beta: float | None) -> float | None:
    """By how much the chosen log-prob ends below the reference's of the same responses, as a share of that.

    Against the reference, because log-probs of two batches differ by more than a training moves them. None where a
    reward is no log-ratio, or nothing was logged.
    """
    reward, logp = _end(rows, "rewards/chosen"), _end(rows, "logps/chosen")
    if not beta or reward is None or logp is None:
        return None
    ratio = reward / beta
    return ratio / (logp - ratio) if logp - ratio < 0 else None


def _end(rows: Sequence[Mapping[str, str]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row.get(name)]
    return mean(values[-max(1, len(values) // PART) :]) if values else None
