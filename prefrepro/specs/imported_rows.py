"""Rows of tables whose samples were made elsewhere, config/samples/*.yaml: one file, one row, nothing to register.

Written by `prefrepro import-samples`, or by hand. Imports neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, with_config
from typing_extensions import NotRequired, TypedDict

from prefrepro.errors import nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, collecting, read_mapping, report
from prefrepro.specs.table import Reported, Row, Table
from prefrepro.specs.values import CLOSED, Flag, Text, problem, refuse, unknown

FIELDS = ("prompt", "prompt_id", "response", "responses")
"""What a mapping may name. A prompt is told by its text or its id; `responses` is a list, one answer for each turn."""


def mapping_problems(columns: Mapping[str, str]) -> list[str]:
    """What is wrong with {our field: their column}."""
    problems = [
        f'"{field}" is no field. Known: {", ".join(FIELDS)}.{nearest(field, FIELDS)}'
        for field in columns
        if field not in FIELDS
    ]
    for pair in (("prompt", "prompt_id"), ("response", "responses")):
        if sum(field in columns for field in pair) != 1:
            problems.append(f"expected one of {' and '.join(pair)} to name a column of the file")
    return problems


def _mapped(columns: dict[str, str]) -> dict[str, str]:
    refuse(((), problem(said)) for said in mapping_problems(columns))
    return columns


def _there(file: str) -> str:
    if not (ROOT / file).is_file():
        raise problem(f"{file:.80} does not exist; expected a file of answers. Put it back, or remove this row's file")
    return file


@with_config(CLOSED)
class Answers(TypedDict):
    file: Annotated[Text, AfterValidator(_there)]
    map: Annotated[dict[str, Text], AfterValidator(_mapped)]
    ignore_extra: NotRequired[Flag]


@with_config(CLOSED)
class ImportedRow(TypedDict):
    table: Text
    row: Text
    label: NotRequired[Text]
    scale: Text
    columns: Annotated[dict[str, Answers], Field(min_length=1)]
    reported: NotRequired[dict[str, Reported]]


def folder() -> Path:
    """Where the files stand."""
    return ROOT / "config" / "samples"


def with_imported_rows(table: Table, scale: str) -> Table:
    """`table` with the rows that were imported for it at this scale. Raises UserError with every problem of them."""
    rows: list[Row] = []
    problems: list[str] = []
    for path in sorted(folder().glob("*.yaml")):
        raw = read_mapping(path)
        if raw.get("table") == f"{table.paper}/{table.name}" and raw.get("scale") == scale:
            with collecting(problems):
                rows.append(_row(path, raw, table))
    report(problems)
    return table.model_copy(update={"rows": [*table.rows, *rows]}) if rows else table


def _row(path: Path, raw: dict[str, Any], table: Table) -> Row:
    def fits(row: ImportedRow) -> ImportedRow:
        known = [column.key for column in table.columns]
        refuse(
            [
                *unknown(row["columns"], known, "columns"),
                *unknown(row.get("reported", {}), known, "reported"),
                *((("row",), problem(f'{row["table"]} has a row "{own.key}"')) for own in table.rows if own.key == row["row"]),
            ]
        )
        return row

    found = checked(Annotated[ImportedRow, AfterValidator(fits)], raw, show(path))
    return Row.of_samples(found["row"], found.get("label", ""), found.get("reported", {}), found["columns"])
