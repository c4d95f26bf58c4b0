"""What a paper's prose says of its numbers: whether the printed cells bear it out, and whether ours do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pandas as pd

from prefrepro.csv_schema.schema import load_schema, read_csv, write_csv
from prefrepro.errors import UserError, nearest
from prefrepro.files import show
from prefrepro.inspect.results import of_variant
from prefrepro.specs.claims import Claim, Comparison, claim_files, read_claims
from prefrepro.specs.variant import DEFAULT
from prefrepro.stats.intervals import ALPHA
from prefrepro.studies.audit.counts import counts
from prefrepro.studies.audit.differences import p_value
from prefrepro.studies.audit.printed import Printed
from prefrepro.tables.template import fill_template

SCHEMA = "audit_claims"
Place = tuple[str, str, str, str]
"""Paper, table, row, column."""
TEMPLATE = Path(__file__).parent / "templates" / "claims.md"


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell that a sentence puts above another."""

    higher: Printed
    lower: Printed
    by_pct: float | None
    close: bool
    ours: tuple[float, float] | None

    @property
    def gain_pct(self) -> float:
        return 100 * (self.higher.reported / self.lower.reported - 1)

    @property
    def p(self) -> float | None:
        """As for a difference from a baseline; None for fitted numbers and unlike numbers of prompts."""
        if "fitted" in (self.higher.kind, self.lower.kind) or self.higher.n != self.lower.n:
            return None
        return p_value(self.higher.reported, self.lower.reported, self.higher.n)

    @property
    def holds(self) -> bool:
        if self.close:
            return self.p is not None and self.p >= ALPHA
        return not self._is_one_count and self._above(self.higher.reported, self.lower.reported)

    @property
    def _is_one_count(self) -> bool:
        """Whether both are prints of the same k of n, one rounded and one cut: 74.61 and 74.60 of 256 are 191."""
        if {self.higher.kind, self.lower.kind} != {"count"} or self.higher.n != self.lower.n:
            return False
        first, second = (counts(one.reported, one.decimals, one.n) for one in (self.higher, self.lower))
        return bool(first and second and first[0].wins == second[0].wins)

    @property
    def ours_hold(self) -> bool | None:
        """None: not run, or two numbers said to be close, whose test is the table's."""
        return None if self.ours is None or self.close else self._above(*self.ours)

    def _above(self, higher: float, lower: float) -> bool:
        if self.by_pct is None:
            return higher > lower
        unit = 10 ** len(f"{self.by_pct:g}".partition(".")[2])
        gain = 100 * (higher / lower - 1) * unit
        return round(self.by_pct * unit) in (round(gain), math.floor(gain))

    @property
    def text(self) -> str:
        column = self.higher.column_label
        elsewhere = [self.lower.table] if self.lower.table != self.higher.table else []
        other = [] if elsewhere or self.lower.column_label == column else [self.lower.column_label]
        lower = ", ".join([*elsewhere, self.lower.row_label, *other])
        gain = "" if self.by_pct is None else f" ({self.gain_pct:+.2f} %)"
        return f"{self.higher.row_label}, {column} {self.higher.text} – {lower} {self.lower.text}{gain}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A sentence with its comparisons."""

    paper: str
    name: str
    claim: Claim
    pairs: list[Pair] = field(default_factory=list)

    def verdict(self, holds: Callable[[Pair], bool | None]) -> str:
        """yes, no, or «k of n hold»; empty where nothing can be said."""
        found = [one for one in map(holds, self.pairs) if one is not None]
        true = sum(found)
        if not found:
            return ""
        if true == len(found) or (self.claim.most and 2 * true > len(found)):
            return "yes" if true == len(found) else f"yes, {true} of {len(found)}"
        return f"in part, {true} of {len(found)}" if true and not self.claim.most else f"no, {true} of {len(found)}"

    @property
    def significant(self) -> str:
        tested = [pair for pair in self.pairs if pair.p is not None and not pair.close]
        found = sum(pair.holds and pair.p is not None and pair.p < ALPHA for pair in tested)
        return f"{found} of {len(tested)}" if tested else ""


def judge(printed: Sequence[Printed], ours: Mapping[Place, float]) -> list[Judged]:
    """Every claim of every paper. Raises UserError for a cell that no table prints."""
    cells = {(one.paper, one.table, one.row, str(one.column)): one for one in printed}
    found = []
    for path in claim_files():
        paper = path.parent.name
        for name, claim in read_claims(path).items():
            where = f"{show(path)}, {name}"
            pairs = [pair for one in claim.compares for pair in _pairs(one, paper, cells, ours, where)]
            found.append(Judged(paper, name, claim, pairs))
    return found


def ours_of(results: Path, variant: str = DEFAULT) -> dict[Place, float]:
    """The values of cells.csv of a results folder, of one variant; empty where there is none."""
    path = results / "cells.csv"
    if not path.is_file():
        return {}
    cells = read_csv(path, "cells")
    return {
        (row["paper"], row["table"], row["row"], row["column"]): float(row["value"])
        for row in of_variant(cells.dropna(subset=["value"]).to_dict("records"), variant)
    }


def _pairs(
    one: Comparison, paper: str, cells: Mapping[Place, Printed], ours: Mapping[Place, float], where: str
) -> Iterator[Pair]:
    for high, low in product(one.higher, one.lower):
        (table, row, column), (below, below_row, below_column) = _cell(high, one.table), _cell(low, one.table)
        of_table = sorted({place[3] for place in cells if place[:2] == (paper, table)})
        given = [name for name in (column or below_column,) if name] or one.columns
        rows = [place[2] for place in cells if place[0] == paper and place[1] in (table, below)]
        if unknown := [name for name in (row, below_row) if name not in rows]:
            raise UserError(f'{where}: no cell of row "{unknown[0]}" is printed.{nearest(unknown[0], rows)}')
        for each in given or of_table:
            places = (paper, table, row, column or each), (paper, below, below_row, below_column or each)
            missing = ["/".join(place[1:]) for place in places if place not in cells]
            if missing and given:
                known = ["/".join(place[1:]) for place in cells if place[0] == paper]
                raise UserError(f"{where}: no table prints {missing[0]}.{nearest(missing[0], known)}")
            if not missing:
                own = [ours[place] for place in places if place in ours]
                higher, lower = (cells[place] for place in places)
                yield Pair(higher, lower, one.by_pct, bool(one.close), (own[0], own[1]) if len(own) == 2 else None)


def _cell(text: str, table: str) -> tuple[str, str, str | None]:
    """Table, row and column of «table: row @ column»."""
    before, colon, after = text.partition(": ")
    row, at, column = (after if colon else before).partition(" @ ")
    return (before if colon else table), row, (column if at else None)


def write(judged: Sequence[Judged], path: Path) -> None:
    """audit_claims.csv, held against its schema."""
    rows = [_row(one, pair) for one in judged for pair in one.pairs or [None]]
    write_csv(pd.DataFrame(rows, columns=pd.Index(load_schema(SCHEMA).columns)), path, SCHEMA)


def _row(one: Judged, pair: Pair | None) -> dict[str, object]:
    about: dict[str, object] = {"paper": one.paper, "claim": one.name, "where": one.claim.where, "says": one.claim.says}
    if pair is None:
        return about
    words = {True: "yes", False: "no", None: None}
    return about | {
        "higher": _place(pair.higher),
        "lower": _place(pair.lower),
        "printed_higher": pair.higher.reported,
        "printed_lower": pair.lower.reported,
        "stated_pct": pair.by_pct,
        "gain_pct": pair.gain_pct,
        "holds": words[pair.holds],
        "p": pair.p,
        "ours_higher": pair.ours[0] if pair.ours else None,
        "ours_lower": pair.ours[1] if pair.ours else None,
        "ours_hold": words[pair.ours_hold],
    }


def _place(printed: Printed) -> str:
    return f"{printed.table}/{printed.row}/{printed.column}"


def section(judged: Sequence[Judged]) -> str:
    """A section of audit.md, Markdown: a table of claims, then every comparison that does not hold."""
    lines = []
    for one in judged:
        printed = one.verdict(lambda pair: pair.holds) or "no printed number"
        ours = one.verdict(lambda pair: pair.ours_hold) or "not run"
        lines.append([one.paper, one.claim.where, one.claim.says, printed, one.significant, ours])
    exceptions = [(one, [pair.text for pair in one.pairs if not pair.holds]) for one in judged]
    exceptions = [(one, broken) for one, broken in exceptions if one.claim.note or broken]
    return fill_template(TEMPLATE, {"lines": lines, "exceptions": exceptions})
