"""A table of settings, as RPO's Table 5: what a row × column really runs with, beside what is printed."""

from __future__ import annotations

from typing import Any

from prefrepro.errors import UserError
from prefrepro.plan import notes
from prefrepro.plan.evaluation import Expander
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs.evaluation import ANNOTATORS
from prefrepro.specs.table import Column, Setting


def of_table(expander: Expander) -> dict[str, Any]:
    """What the table's node holds. Raises UserError for a setting, row or column that there is not."""
    lines, runs = [], dict[str, list[str]]()
    for setting in expander.table.settings:
        row = _named(expander, setting, "row", expander.table.rows)
        column = _named(expander, setting, "column", expander.table.columns)
        run = expander.run(row, column, 1)
        runs[row.label] = [run]
        value: Any = _values(expander, column, run)
        for part in setting.value.split("."):
            if not isinstance(value, dict) or part not in value:
                raise UserError(f'{expander.where}, settings, {setting.label}: no setting "{setting.value}"')
            value = value[part]
        lines.append({"label": setting.label, "value": setting.value, "printed": setting.printed, "ours": value})
    said = [*expander.table.notes, *notes.of_rows(expander.plan, runs)]
    said += notes.of_packages(expander.plan, [run for own in runs.values() for run in own])
    return {"cells": [], "trained": [], "settings": lines, "notes": said}


def _values(expander: Expander, column: Column, run_id: str) -> dict[str, Any]:
    """The run's spec; `sampling`; `gpus` that its job asks for; names of `embedder`, `judge` and `annotator`."""
    plan, run = expander.plan, expander.plan.nodes[run_id]
    sample = expander.sample(column, run_id, None, 1)
    evaluation = expander.evaluation(column)
    judge = plan.nodes[expander.verdict(sample, column)].spec["judge"]["model"]
    found = run.spec | {
        "sampling": plan.nodes[sample].spec["sampling"],
        "gpus": ScaleResources(plan).of(run).gpus,
        "judge": judge,
    }
    if column.embedder:
        found["embedder"] = expander.stand_in("embedders", column.embedder)
    if "annotator" in evaluation:
        asked = "" if judge == evaluation["judge"] else f", asked of {judge}"
        found["annotator"] = ANNOTATORS[evaluation["annotator"]] + asked
    return found


def _named(expander: Expander, setting: Setting, what: str, known: list[Any]) -> Any:
    """The row or column that a setting names; the first where it names none."""
    name = getattr(setting, what)
    for one in known:
        if name in (None, one.key):
            return one
    raise UserError(
        f'{expander.where}, settings, {setting.label}: "{name}" is no {what}. '
        f"Known: {', '.join(one.key for one in known)}."
    )
