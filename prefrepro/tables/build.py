"""The table node of the DAG: cells of one table, its files in every format, and the four CSVs of the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.stats.metrics import VerdictSet
from prefrepro.tables.cells import build_cells, missing
from prefrepro.tables.collect import collect
from prefrepro.tables.render import settings_meta, table_meta, write_settings, write_shown, write_table
from prefrepro.tables.shown import read_shown


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """Write tables/<paper>_<table>.{csv,md,tex,html,cells.csv} and bring the four CSVs up to date. Raises UserError."""
    write(spec, out.parent.parent, out.parent)
    collect(out.parent.parent)


def write(spec: dict[str, Any], results: Path, tables: Path) -> None:
    """Write the files of a table into `tables`, of what stands in `results`.

    Raises UserError where a cell has no value: a table with a hole is not a finished table.
    """

    def commit(run_ids: list[str]) -> str | None:
        """Of the first run; None for a cell that trained nothing."""
        if not run_ids:
            return None
        run = json.loads((results / "runs" / run_ids[0] / "run.json").read_text(encoding="utf-8"))
        return run["row"]["commit"]

    def verdicts(verdict_id: str) -> VerdictSet:
        folder = results / "verdicts" / verdict_id
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return VerdictSet(read_csv(folder / "verdicts.csv", "verdicts"), manifest["metrics"])

    planned = [cell | {"commit": commit(cell["run_ids"])} for cell in spec["cells"]]
    cells = build_cells(planned, verdicts)
    if holes := missing(cells):
        raise UserError(
            f"{len(holes)} cells have no value: {', '.join(holes)}. Their verdicts are missing in {results}/verdicts."
        )
    if spec.get("shown"):
        write_shown(*read_shown(spec, results), settings_meta(spec), tables)
    elif spec.get("settings"):
        write_settings(spec["settings"], settings_meta(spec), tables)
    else:
        title = f"{spec['where']}: {spec['title']}"
        write_table(cells, table_meta(planned, title, spec["notes"], spec["switches"]), tables)
    write_csv(cells, tables / f"{spec['paper']}_{spec['table']}.cells.csv", "cells")
