"""What must not be overlooked about a table: a judge that does not read, a training that went wrong. Stands under it.

The limits are our own: no paper states one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.specs.evaluation import LABELS
from prefrepro.stats.judging import judging_quality
from prefrepro.tables.signs import beta_of, logged, signs

ONE_PLACE, BIAS = 90.0, 10.0
"""Percent of the decided verdicts that went to one place; points from what a judge without position bias gives"""
INVALID, TIES, DISAGREE, ONE_RATING = 5.0, 50.0, 50.0, 90.0
"""Percent of the verdicts; of the answers that were judged in both orders; of the ratings"""
FEWEST = 20
"""Verdicts below which nothing is said."""
NAMED = 3
"""Rows that one alarm names."""


def alarms(cells: Iterable[Mapping[str, Any]], results: Path, verdicts: Callable[[str], pd.DataFrame]) -> list[str]:
    """One sentence for each kind of alarm and column, then one for each training with odd curves.

    A cell has row_label, column_label, verdict_ids and run_ids; several metrics of one verdict set count once.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    trained: dict[str, str] = {}
    seen: set[str] = set()
    for cell in cells:
        for seed, set_id in enumerate(cell["verdict_ids"], start=1):
            name = cell["row_label"] + (f", seed {seed}" if len(cell["verdict_ids"]) > 1 else "")
            if set_id not in seen:
                frame = verdicts(set_id)
                for says, value in _of_judge(frame):
                    judge = str(frame["judge_asked"].iloc[0])
                    found.setdefault((cell["column_label"], judge, says), []).append(f"{name} {value}")
            seen.add(set_id)
        for seed, run in enumerate(cell["run_ids"], start=1):
            of = f", seed {seed}" if len(cell["run_ids"]) > 1 else ""
            trained.setdefault(run, f"Training of {cell['row_label']}, {cell['column_label']}{of}")
    return [f"{column}, judge {judge}: {_named(rows, says)}" for (column, judge, says), rows in found.items()] + [
        f"{name}: {' '.join(odd)}" for run, name in trained.items() if (odd := _of_training(results / "runs" / run))
    ]


def _named(rows: list[str], says: str) -> str:
    more = f" and {len(rows) - NAMED} more rows" if len(rows) > NAMED else ""
    return says.format(rows="; ".join(rows[:NAMED]) + more)


def _of_judge(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(sentence with a place for the rows, this row's value) for each thing that is odd about a verdict set."""
    if len(frame) < FEWEST or set(frame["judge_asked"]) == {LABELS}:
        return []
    quality, found = judging_quality(frame), []
    found += _of_place(quality) if quality["n_decided"] >= FEWEST else []
    shares = (
        ("invalid_pct", INVALID, "many verdicts are invalid ({rows}). Read the judge's replies before the numbers."),
        ("tie_pct", TIES, "most verdicts are ties ({rows}): this judge hardly tells answers apart."),
        ("orders_disagree_pct", DISAGREE, "the two orders of one pair mostly name different winners ({rows})."),
    )
    found += [(says, f"{share:.1f} %") for key, most, says in shares if (share := quality[key] or 0.0) > most]
    rated = frame.loc[frame["verdict"] == "rated", "score"]
    if len(rated) >= FEWEST and (share := 100 * float(rated.value_counts(normalize=True).iloc[0])) > ONE_RATING:
        found.append(("nearly all ratings are one number ({rows}).", f"{share:.1f} % are {rated.mode().iloc[0]:g}"))
    return found


def _of_place(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Position bias. Where every answer stood in one place, content and place cannot be told apart: nothing is said."""
    first, expected = quality["first_shown_pct"], quality["first_shown_null_pct"]
    if abs(first - expected) <= BIAS or quality["first_shown_ci_low"] <= expected <= quality["first_shown_ci_high"]:
        return []
    for place, share in (("first", first), ("second", 100 - first)):
        if share > ONE_PLACE:
            says = f"the answer shown {place} won more than {ONE_PLACE:.0f} % of the decided verdicts ({{rows}}): "
            return [(says + "this judge picks a place, whatever the answers. The rates say nothing.", f"{share:.1f} %")]
    says = (
        f"position bias: the answer shown first wins {BIAS:.0f} points more or less often than a judge without bias "
        "would let it ({rows}). --config protocol=robust asks in both orders."
    )
    return [(says, f"{first:.1f} %, expected {expected:.1f} %")]


def _of_training(run: Path) -> list[str]:
    path = run / "run.json"
    return signs(logged(run), beta_of(json.loads(path.read_text(encoding="utf-8"))["row"])) if path.is_file() else []
