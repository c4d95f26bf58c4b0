"""calibration.md: one page from the rows of calibration.csv and calibration_cells.csv. Its text is a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.studies.calibration.cells import Safe, safe_differences
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parent / "templates" / "calibration.md"
Row = Mapping[str, Any]
HUMAN = ("people", "labels")
PEOPLE = "people"


def page(rows: Sequence[Row], moved: Sequence[dict[str, Any]], judged_by: Mapping[str, str]) -> str:
    """The whole page, Markdown. `judged_by`: set -> who judged it in public."""
    measured = [row for row in rows if row["status"] != "refused"]
    human = [row for row in measured if row["published_judge"] in HUMAN]
    among = {row["published_set"]: row for row in human if row["judge"] == PEOPLE}
    known = {row["published_set"]: row for row in human if row["status"] == "published"}
    judged = [row for row in human if row["judge"] != PEOPLE and row["status"] == "measured"]
    published = [row for row in measured if row["published_judge"] == judged_by[row["published_set"]]]
    mutual = [row for row in measured if row["published_judge"] != judged_by[row["published_set"]]]
    values = {
        "with_people": [_with_people(row, among, known) for row in judged],
        "bias": [_bias(row) for row in judged],
        "with_published": [_with_published(row) for row in published if row["published_judge"] not in HUMAN],
        "each_other": [_each_other(row) for row in mutual],
        "cells": [_cell(row) for row in moved if row["judge"] != "replay"],
        "safe": [_safe(one) for one in safe_differences(row for row in moved if row["judge"] != "replay")],
        "refused": sorted({f"{row['judge']}: {row['note']}" for row in rows if row["status"] == "refused"}),
    }
    return fill_template(TEMPLATE, values)


def may_stand_in(row: Row, people: Row | None, known: Row | None) -> str:
    """Whether a judge may stand in for people on a set, and why not.

    Its agreement must be above that of «the longer one» beyond chance, and not below that of people among themselves
    (else of GPT-4 in 2023, where the set has one label a pair) by more than its own interval.
    """
    if pd.isna(row["agreement_pct"]):
        return "no: nothing decided"
    if row["over_longer_ci_low"] <= 0:
        return "no: not shown to be better than «the longer one»"
    bar, who = (people, "people") if people is not None else (known, "GPT-4 of 2023")
    if bar is None:
        return "not known: nothing to compare with"
    if row["agreement_ci_high"] < bar["agreement_pct"]:
        return f"no: below {who}"
    return f"yes: as {who}"


def _with_people(row: Row, among: Mapping[str, Row], known: Mapping[str, Row]) -> list[str]:
    name = row["published_set"]
    people, printed = among.get(name), known.get(name)
    return [
        name,
        row["judge"],
        _number(row["n"], "d"),
        _ends(row, "agreement_pct", "agreement"),
        _ends(row, "kappa", "kappa", ".2f"),
        _ends(row, "over_longer_pp", "over_longer", "+.1f"),
        "" if people is None else _ends(people, "agreement_pct", "agreement"),
        "" if printed is None else _number(printed["agreement_pct"]),
        may_stand_in(row, people, printed),
    ]


def _bias(row: Row) -> list[str]:
    return [
        row["published_set"],
        row["judge"],
        _ends(row, "first_shown_pct", "first_shown"),
        _number(row["first_shown_null_pct"]),
        _number(row["n_tie"], "d"),
        _ends(row, "longer_won_pct", "longer_won"),
        _number(row["published_longer_won_pct"]),
        _ends(row, "longer_shift_pp", "longer_shift", "+.1f"),
    ]


def _with_published(row: Row) -> list[str]:
    return [
        row["published_set"],
        row["judge"],
        _number(row["n"], "d"),
        _ends(row, "agreement_pct", "agreement"),
        _ends(row, "kappa", "kappa", ".2f"),
        _number(row["win_rate_pct"]),
        _number(row["published_win_rate_pct"]),
        _ends(row, "shift_pp", "shift", "+.1f"),
        _ends(row, "first_shown_pct", "first_shown"),
        _number(row["first_shown_null_pct"]),
    ]


def _each_other(row: Row) -> list[str]:
    agreement, k = _ends(row, "agreement_pct", "agreement"), _ends(row, "kappa", "kappa", ".2f")
    return [row["published_set"], row["judge"], row["published_judge"], _number(row["n"], "d"), agreement, k]


def _cell(row: Row) -> list[str]:
    return [
        row["published_set"],
        f"{row['candidate']} over {row['baseline']}",
        row["judge"],
        row["other"],
        _number(row["n"], "d"),
        _number(row["win_rate_pct"]),
        _number(row["other_win_rate_pct"]),
        _number(row["printed_pct"]),
        _ends(row, "shift_pp", "shift", "+.1f"),
    ]


def _safe(one: Safe) -> list[str]:
    return [
        one.family,
        one.judge,
        one.other,
        str(one.n),
        f"{one.mean_shift_pp:+.1f}",
        f"{one.spread_pp:.1f}",
        f"{one.safe_pp:.1f}",
        f"{one.swapped} of {one.pairs}",
        f"{one.largest_swapped_pp:.1f}" if one.swapped else "",
    ]


def _ends(row: Row, value: str, prefix: str, form: str = ".1f") -> str:
    if pd.isna(row[value]):
        return ""
    low, high = (_number(row[f"{prefix}_ci_{end}"], form) for end in ("low", "high"))
    return f"{_number(row[value], form)} [{low}, {high}]" if low else _number(row[value], form)


def _number(value: Any, form: str = ".1f") -> str:
    if pd.isna(value):
        return ""
    return f"{int(value)}" if form == "d" else format(round(float(value), 2) + 0.0, form)  # + 0.0: no «-0.0»
