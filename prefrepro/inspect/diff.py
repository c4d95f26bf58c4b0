"""Two results folders or variants: which cells moved, by how much, whether more than noise, and what else differs.

Cells are matched by paper, table, row, column and metric; differences in scale, reading, judge, seeds and commit are
listed. The test is paired where both sides judged the same prompts by the same protocol, else of two proportions, or
from the widths of the two intervals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.inspect.results import KEYS, Results, ids_of, of_variant, read_manifest
from prefrepro.specs.variant import DEFAULT
from prefrepro.stats.intervals import ALPHA
from prefrepro.stats.metrics import VerdictSet, compare
from prefrepro.stats.paired import holm

SETTINGS = ("scale", "reading", "variant", "judge", "n_seeds", "commit", "protocol", "code", "data")
"""What may differ beside the number; `code` and `data`: digests of the cell's runs and of what they were trained on."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """One cell that both sides have; numbers in the metric's unit, B less A."""

    address: str
    metric: str
    a: float | None
    b: float | None
    delta: float | None
    """Difference of the two cells."""
    tested: float | None = None
    """Difference that was tested: of paired cells over the prompts that both have a valid verdict on."""
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    """Adjusted over all cells compared."""
    method: str = "none"
    """How p was computed; `identical`: the same verdicts; `none`: a side has no value."""
    n: int = 0
    """Prompts of the paired test; of the others, those of both sides."""
    differs: dict[str, list[Any]] = field(default_factory=dict)
    """Setting -> [A's, B's]."""

    @property
    def is_significant(self) -> bool:
        return self.p_holm is not None and self.p_holm < ALPHA


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that differs."""

    a: str
    b: str
    cells: list[Moved]
    only_a: list[str]
    only_b: list[str]
    settings: dict[str, list[list[Any]]]
    """Setting -> [A's values, B's values], where they are not the same."""

    @property
    def moved(self) -> list[Moved]:
        return [cell for cell in self.cells if cell.is_significant]

    @property
    def is_same(self) -> bool:
        """Both have the same cells, and none moved by more than noise."""
        return not (self.moved or self.only_a or self.only_b)

    def as_json(self) -> dict[str, Any]:
        return {"is_same": self.is_same, **asdict(self)} | {
            "cells": [asdict(cell) | {"is_significant": cell.is_significant} for cell in self.cells]
        }


def diff(a: Results, b: Results, variants: tuple[str, str] = (DEFAULT, DEFAULT)) -> Compared:
    """Compare two folders, or two variants. Raises UserError where a side has no cells, or files cannot be read."""
    first, second = _cells(a, variants[0]), _cells(b, variants[1])
    pairs = [(name, first[name], second[name]) for name in sorted(first.keys() & second.keys())]
    cells = [_compared(name, a, left, b, right) for name, left, right in pairs]
    adjusted = holm([cell.p for cell in cells])
    cells = [replace(cell, p_holm=p_holm) for cell, p_holm in zip(cells, adjusted, strict=True)]
    sides = [[_settings(side, cell) for cell in rows.values()] for side, rows in ((a, first), (b, second))]
    values = {key: [_distinct(one[key] for one in side) for side in sides] for key in SETTINGS}
    return Compared(
        f"{a.path} {variants[0]}".removesuffix(f" {DEFAULT}"),
        f"{b.path} {variants[1]}".removesuffix(f" {DEFAULT}"),
        cells,
        sorted("/".join(name[:4]) for name in first.keys() - second.keys()),
        sorted("/".join(name[:4]) for name in second.keys() - first.keys()),
        {key: both for key, both in values.items() if both[0] != both[1]},
    )


def _cells(results: Results, variant: str) -> dict[tuple[str, ...], Row]:
    frame = read_csv(results.path / "cells.csv", "cells")
    if frame.empty:
        raise UserError(f"{results.path}/cells.csv holds no cell; expected some. Make a table with: snakemake table1")
    every: list[Row] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    if not (rows := of_variant(every, variant)):
        known = ", ".join(sorted({row["variant"] for row in every}))
        raise UserError(f"{results.path}/cells.csv holds no cell of variant {variant}; expected one of: {known}")
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(str(row[name]) for name in (*KEYS, "metric"))
        if key in found:
            raise UserError(f"{results.path}/cells.csv holds {'/'.join(key[:4])} of several scales or readings")
        found[key] = {name: None if pd.isna(value) else value for name, value in row.items()}
    return found


def _compared(name: tuple[str, ...], a: Results, left: Row, b: Results, right: Row) -> Moved:
    settings = [_settings(a, left), _settings(b, right)]
    differs = {key: [one[key] for one in settings] for key in SETTINGS if settings[0][key] != settings[1][key]}
    delta = None if left["value"] is None or right["value"] is None else right["value"] - left["value"]
    test = {} if delta is None else _test(a, left, b, right, settings)
    return Moved("/".join(name[:4]), name[4], left["value"], right["value"], delta, **test, differs=differs)


def _test(a: Results, left: Row, b: Results, right: Row, settings: list[Row]) -> dict[str, Any]:
    """B less A, by the strongest test that the two sides allow: fields of Moved."""
    own, other = _sets(b, right), _sets(a, left)
    if own and other:
        if len(own) == len(other) and all(_same(one, two) for one, two in zip(own, other, strict=True)):
            return _tested("identical", 0.0, 0.0, 0.0, 1.0, int(right["n"]))
        is_judged_alike = all(settings[0][key] == settings[1][key] for key in ("protocol", "evaluation"))
        if is_judged_alike and _prompts(own) == _prompts(other):
            is_alpaca = right["metric"] == "win_rate_pct" and settings[1]["evaluation"] == "alpaca_eval"
            found = compare("wr" if is_alpaca else right["metric"], own, other, settings[1]["protocol"])
            if found:
                return _tested(found.method, found.value, found.ci_low, found.ci_high, found.p, found.n)
    return _unpaired(left, right)


def _tested(method: str, value: float, low: float, high: float, p: float, n: int) -> dict[str, Any]:
    return {"method": method, "tested": value, "ci_low": low, "ci_high": high, "p": p, "n": n}


def _unpaired(left: Row, right: Row) -> dict[str, Any]:
    """The test from what cells.csv says, where prompts differ or verdicts are missing."""
    n, delta = int(left["n"] + right["n"]), right["value"] - left["value"]
    is_rate = all(
        side["ci_method"] == "wilson" and side["n_seeds"] == 1 and not side["n_invalid"] for side in (left, right)
    )
    if is_rate:
        wins = [round(side["value"] / 100 * side["n"]) for side in (right, left)]
        counts = wins[0], right["n"], wins[1], left["n"]
        tested: Any = test_proportions_2indep(*counts, method="score", compare="diff")
        low, high = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=ALPHA)
        return _tested("two_proportions", delta, 100 * float(low), 100 * float(high), float(tested.pvalue), n)
    z = float(norm.ppf(1 - ALPHA / 2))
    spread = sum(((side["ci_high"] - side["ci_low"]) / (2 * z)) ** 2 for side in (left, right)) ** 0.5
    p = 2 * float(norm.sf(abs(delta) / spread)) if spread > 0 else float(delta == 0)
    return _tested("two_intervals", delta, delta - z * spread, delta + z * spread, p, n)


def _sets(results: Results, row: Row) -> list[VerdictSet] | None:
    """A cell's verdict sets, one per seed; None where any is not there."""
    found = []
    for name in ids_of(row, "verdict_id"):
        folder = results.path / "verdicts" / name
        if not (folder / "verdicts.csv").is_file():
            return None
        found.append(
            VerdictSet(read_csv(folder / "verdicts.csv", "verdicts"), read_manifest(folder).get("metrics", {}))
        )
    return found


def _same(one: VerdictSet, two: VerdictSet) -> bool:
    columns = ["prompt_id", "draw", "order", "verdict", "score", "weight"]
    left, right = (side.frame[columns].reset_index(drop=True) for side in (one, two))
    return left.equals(right) and one.metrics == two.metrics


def _prompts(sets: list[VerdictSet]) -> set[str]:
    return set().union(*(set(one.frame["prompt_id"]) for one in sets))


def _settings(results: Results, row: Row) -> Row:
    """SETTINGS of a cell, and its evaluation."""
    judged = [read_manifest(results.path / "verdicts" / name).get("spec", {}) for name in ids_of(row, "verdict_id")]
    runs = [read_manifest(results.path / "runs" / name).get("row", {}) for name in ids_of(row, "run_id")]
    known = {key: row[key] for key in SETTINGS if key in row}
    return known | {
        "protocol": "; ".join(_distinct(spec.get("protocol", "") for spec in judged)),
        "evaluation": "; ".join(_distinct(spec.get("evaluation", "") for spec in judged)),
        "code": "; ".join(_distinct(run.get("code_digest", "")[:12] for run in runs)),
        "data": "; ".join(_distinct(run.get("data_hash", "")[:12] for run in runs)),
    }


def _distinct(values: Iterable[Any]) -> list[Any]:
    return sorted({value for value in values if value not in (None, "")})
