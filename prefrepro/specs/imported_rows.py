"""Rows of tables whose samples were made elsewhere, config/samples/*.yaml: one file, one row, nothing to register.

Written by `prefrepro import-samples`, or by hand. Imports neither torch nor pandas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, with_config
from typing_extensions import TypedDict

from prefrepro.errors import nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, collecting, read_mapping, report
from prefrepro.specs.problems import problem
from prefrepro.specs.table import Reported, Row, Table
from prefrepro.specs.values import CLOSED, Flag, Text

Field_ = Literal["prompt", "prompt_id", "response", "responses"]
"""What a mapping may name. A prompt is told by its text or its id; `responses` is a list, one answer for each turn."""


def _one_of_each(columns: dict[str, str]) -> dict[str, str]:
    for pair in (("prompt", "prompt_id"), ("response", "responses")):
        if sum(field in columns for field in pair) != 1:
            raise problem(f"expected one of {' and '.join(pair)} to name a column of the file")
    return columns


Mapping = Annotated[dict[Field_, Text], AfterValidator(_one_of_each)]
"""Our field -> their column"""


def _there(file: str) -> str:
    if not (ROOT / file).is_file():
        raise problem(f"{file} does not exist; expected a file of answers. Put it back, or remove the row's file")
    return file


class Answers(TypedDict):
    file: Annotated[Text, AfterValidator(_there)]
    map: Mapping
    ignore_extra: NotRequired[Flag]
    ignore_missing: NotRequired[Flag]


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
    rows, problems = [], []
    for path in sorted(folder().glob("*.yaml")):
        raw = read_mapping(path)
        if raw.get("table") == f"{table.paper}/{table.name}" and raw.get("scale") == scale:
            with collecting(problems):
                rows.append(_row(show(path), raw, table))
    report(problems)
    return table.model_copy(update={"rows": [*table.rows, *rows]}) if rows else table


def _row(where: str, raw: dict[str, Any], table: Table) -> Row:
    found, reported = checked(ImportedRow, raw, where), raw.get("reported", {})
    key, known = found["row"], [column.key for column in table.columns]
    strangers = [name for name in {**found["columns"], **reported} if name not in known]
    problems = [f'{where}: "{name}" is no column of {found["table"]}.{nearest(name, known)}' for name in strangers]
    problems += [f'{where}: {found["table"]} has a row "{key}" of its own' for row in table.rows if row.key == key]
    report(problems)
    return Row.model_construct(key=key, label=raw.get("label", key), samples=found["columns"], reported=reported)
