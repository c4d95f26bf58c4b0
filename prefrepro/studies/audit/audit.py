"""From printed numbers to audit.csv and audit.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from prefrepro.csv_schema.schema import load_schema, write_csv
from prefrepro.studies.audit.counts import DENOMINATORS, Count, counts, fewer, status
from prefrepro.studies.audit.differences import p_value, prompts_needed, smallest_significant
from prefrepro.studies.audit.printed import Printed

SCHEMA = "audit"
SMALLEST = "smallest_significant_up", "smallest_significant_down"
DROPS = ("alpaca_eval",)
"""Evaluations that leave out what they could not parse; compare.py divides by all attempts (docs/judging.md)."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What is found about one printed number."""

    printed: Printed
    status: str
    """As `counts.status`; no_count where the number is no count of wins."""
    found: dict[int, list[Count]]
    """n -> the counts of n that print as the number."""
    fewer: list[Count]
    twins: list[Printed]
    """Other places that print the same judging and metric."""
    baseline: Printed | None
    p: float | None
    """Against the baseline; None for a fitted number, whose error was not printed."""

    @property
    def comparison(self) -> tuple[object, ...]:
        """The same for two tables that print the same difference of the same two judgings; cited ones go by place."""
        base = self.baseline or self.printed
        sides = [one.verdict_id or one.place for one in (self.printed, base)]
        return (self.printed.metric, *sides)

    @property
    def agrees(self) -> bool:
        return all(twin.text == self.printed.text for twin in self.twins)


def audit(printed: Sequence[Printed]) -> list[Audited]:
    """One finding per printed number, in the order given."""
    judgings: dict[tuple[str, str], list[Printed]] = defaultdict(list)
    places = {}
    for one in printed:
        if one.verdict_id:
            judgings[one.verdict_id, one.metric].append(one)
        places[one.paper, one.table, one.row, one.column] = one
    return [_audited(one, judgings, places) for one in printed]


def _audited(
    one: Printed,
    judgings: dict[tuple[str, str], list[Printed]],
    places: dict[tuple[str, str, str, str | None], Printed],
) -> Audited:
    is_count, may_drop = one.kind == "count", one.evaluation in DROPS
    baseline = None
    if one.baseline is not None and one.baseline != one.row:
        baseline = places.get((one.paper, one.table, one.baseline, one.column))
    number = (one.reported, one.decimals)
    return Audited(
        one,
        status(*number, one.n, may_drop) if is_count else "no_count",
        {} if one.kind == "fitted" else {n: counts(*number, n) for n in sorted({*DENOMINATORS, one.n})},
        fewer(*number, one.n) if is_count and may_drop else [],
        [twin for twin in judgings[one.verdict_id, one.metric] if twin is not one] if one.verdict_id else [],
        baseline,
        p_value(one.reported, baseline.reported, one.n) if baseline and one.kind != "fitted" else None,
    )


def to_frame(audited: Sequence[Audited]) -> pd.DataFrame:
    """As `config/schemas/audit.schema.yaml` wants it."""
    return pd.DataFrame([_row(one) for one in audited], columns=pd.Index(load_schema(SCHEMA).columns))


def write(audited: Sequence[Audited], path: Path) -> None:
    """audit.csv, held against its schema."""
    write_csv(to_frame(audited), path, SCHEMA)


def _row(one: Audited) -> dict[str, object]:
    printed, base = one.printed, one.baseline
    has_test = base is not None and one.p is not None
    return {
        **{key: getattr(printed, key) for key in ("paper", "table", "row", "column", "metric", "reported", "decimals")},
        "n": printed.n,
        "kind": printed.kind,
        "status": one.status,
        **{f"of_{n}": _joined(one.found.get(n, [])) for n in DENOMINATORS},
        "of_fewer": _joined(one.fewer),
        "verdict_id": printed.verdict_id or None,
        "printed_elsewhere": "; ".join(f"{twin.place}: {twin.text}" for twin in one.twins) or None,
        "agrees": ("yes" if one.agrees else "no") if one.twins else None,
        "baseline": base.row if base else None,
        "difference": round(printed.reported - base.reported, printed.decimals) if base else None,
        "p": one.p,
        **dict(
            zip(
                SMALLEST,
                smallest_significant(base.reported, printed.n) if base and has_test else (None, None),
                strict=True,
            )
        ),
        "prompts_needed": prompts_needed(printed.reported, base.reported) if base and has_test else None,
    }


def _joined(found: Sequence[Count]) -> str | None:
    return "; ".join(map(str, found)) or None
