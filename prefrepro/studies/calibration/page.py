"""calibration.md: one page from the rows of calibration.csv and calibration_cells.csv.

Its text is templates/calibration.md, the columns of its tables stand in page.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.specs.files import read_mapping
from prefrepro.specs.paper import EQUIVALENCE_MARGIN
from prefrepro.studies.calibration.cells import safe_differences
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parent / "templates" / "calibration.md"
COLUMNS = Path(__file__).with_name("page.yaml")
Row = Mapping[str, Any]
HUMAN = ("people", "labels")
PEOPLE = "people"
COIN = 50.0
MARGIN = EQUIVALENCE_MARGIN


def page(rows: Sequence[Row], moved: Sequence[dict[str, Any]], judged_by: Mapping[str, str]) -> str:
    """The whole page, Markdown. `judged_by`: set -> who judged it in public."""
    measured = [row for row in rows if row["status"] != "refused"]
    human = [row for row in measured if row["published_judge"] in HUMAN]
    among = {row["published_set"]: row for row in human if row["judge"] == PEOPLE}
    known = {row["published_set"]: row for row in human if row["status"] == "published"}
    judged = [row for row in human if row["judge"] != PEOPLE and row["status"] == "measured"]
    moved = [row for row in moved if row["judge"] != "replay"]
    tables = {
        "with_people": [
            _beside(row, among.get(row["published_set"]), known.get(row["published_set"])) for row in judged
        ],
        "bias": judged,
        "each_other": [row for row in measured if row["published_judge"] != judged_by[row["published_set"]]],
        "with_published": [
            row
            for row in measured
            if row["published_judge"] == judged_by[row["published_set"]] and row["published_judge"] not in HUMAN
        ],
        "cells": moved,
        "safe": [one._asdict() for one in safe_differences(moved)],
    }
    columns = read_mapping(COLUMNS)
    values = {
        name: {"head": list(columns[name]), "rows": [_line(row, columns[name].values()) for row in own]}
        for name, own in tables.items()
    }
    refused = sorted({f"{row['judge']}: {row['note']}" for row in rows if row["status"] == "refused"})
    return fill_template(TEMPLATE, {**values, "refused": refused})


def may_stand_in(row: Row, people: Row | None, known: Row | None) -> str:
    """Whether a judge may stand in for people on a set, and why not.

    Its agreement must be above a coin's and above that of «the longer one» beyond chance, and shown to be at most
    MARGIN points below that of people among themselves (of GPT-4 in 2023, where the set has one label a pair): few
    pairs show nothing.
    """
    if pd.isna(row["agreement_pct"]):
        return "no: nothing decided"
    if row["agreement_ci_low"] <= COIN:
        return "no: not shown to be better than a coin"
    if row["over_longer_ci_low"] <= 0:
        return "no: not shown to be better than «the longer one»"
    bar, who = (people, "people") if people is not None else (known, "GPT-4 of 2023")
    if bar is None:
        return "not known: nothing to compare with"
    if row["agreement_ci_high"] < bar["agreement_pct"]:
        return f"no: below {who}"
    if row["agreement_ci_low"] < bar["agreement_pct"] - MARGIN:
        return "not known: too few pairs"
    return f"yes: within {MARGIN:.0f} points of {who}"


def _beside(row: Row, people: Row | None, known: Row | None) -> dict[str, Any]:
    """A row with what people and GPT-4 reach on its set, each name after `people.` or `known.`, and the conclusion."""
    ends = ("agreement_pct", "agreement_ci_low", "agreement_ci_high")
    others = {
        f"{who}.{name}": (one or {}).get(name) for who, one in (("people", people), ("known", known)) for name in ends
    }
    return {**row, **others, "may_stand_in": may_stand_in(row, people, known)}


def _line(row: Row, columns: Any) -> list[str]:
    return [_text(row, *column.split()) for column in columns]


def _text(row: Row, name: str, form: str = "", prefix: str = "") -> str:
    """A value, with its interval where it has one; nothing where it is missing."""
    if pd.isna(row[name]):
        return ""
    who = name.rpartition(".")[0]
    own = f"{who}.{prefix}" if who else prefix
    ends = [_number(row[f"{own}_ci_{end}"], form) for end in ("low", "high")] if prefix else []
    return _number(row[name], form) + (f" [{', '.join(ends)}]" if all(ends) and ends else "")


def _number(value: Any, form: str) -> str:
    if not form or pd.isna(value):
        return "" if pd.isna(value) else str(value)
    return f"{int(value)}" if form == "d" else format(round(float(value), 2) + 0.0, form)  # + 0.0: no «-0.0»
