"""Rows of tables whose samples were made elsewhere, config/samples/*.yaml: one file, one row, nothing to register.

Written by `prefrepro import-samples`, or by hand. Imports neither torch nor pandas.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError
from prefrepro.files import ROOT, show
from prefrepro.sample.outputs import mapping_problems
from prefrepro.specs.files import as_mapping, read_mapping, report, unknown_keys
from prefrepro.specs.table import Row, Table

KEYS = ["table", "row", "label", "scale", "columns", "reported"]
COLUMN_KEYS = ["file", "map", "ignore_extra"]


def folder() -> Path:
    """Where the files stand."""
    return ROOT / "config" / "samples"


def with_imported_rows(table: Table, scale: str) -> Table:
    """`table` with the rows that were imported for it at this scale. Raises UserError with every problem of them."""
    rows, problems = [], []
    for path in sorted(folder().glob("*.yaml")):
        raw = read_mapping(path)
        if raw.get("table") == f"{table.paper}/{table.name}" and raw.get("scale") == scale:
            try:
                rows.append(_row(path, raw, table))
            except UserError as error:
                problems += error.problems
    report(problems)
    return dataclasses.replace(table, rows=[*table.rows, *rows]) if rows else table


def _row(path: Path, raw: dict[str, Any], table: Table) -> Row:
    where = show(path)
    problems = unknown_keys(raw, KEYS, where)
    columns = as_mapping(raw.get("columns"), f"{where}, columns", problems)
    reported = as_mapping(raw.get("reported"), f"{where}, reported", problems)
    known = [column.key for column in table.columns]
    problems += unknown_keys(columns, known, f"{where}, columns") + unknown_keys(reported, known, f"{where}, reported")
    key = raw.get("row")
    if not isinstance(key, str) or key in {row.key for row in table.rows}:
        problems.append(f'{where}: row is "{key}"; expected the name of a new row of {raw["table"]}')
    problems += [f"{where}: no column is given"] if not columns else []
    for name, given in columns.items():
        here = f"{where}, column {name}"
        column = as_mapping(given, here, problems)
        problems += unknown_keys(column, COLUMN_KEYS, here)
        wanted = as_mapping(column.get("map"), f"{here}, map", problems)
        problems += [f"{here}, map: {problem}" for problem in mapping_problems(wanted)]
        if not isinstance(column.get("file"), str) or not (ROOT / str(column["file"])).is_file():
            expected = f"expected a file of answers. Put it back, or remove {where}"
            problems.append(f"{here}: {column.get('file')} does not exist; {expected}")
    report(problems)
    return Row(
        key=str(key),
        label=raw.get("label", key),
        method="",
        hparams={},
        training={},
        embedder=None,
        pairs=None,
        external=None,
        samples=columns,
        is_evaluated=True,
        reported=reported,
    )
