"""prefrepro import-samples: judge and table answers that were made elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from prefrepro.cli.parser import plan_of
from prefrepro.data.jsonl import read_jsonl, text_of
from prefrepro.errors import UserError, nearest
from prefrepro.files import show, write_lines, write_text
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.sample.outputs import imported, read_outputs
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.imported_rows import Mapping, folder
from prefrepro.specs.table import address_of

HEAD = "# A row whose samples were made elsewhere; by `prefrepro import-samples`. Remove this file to take it out.\n"


def run(arguments: argparse.Namespace) -> None:
    """Write the row's file, or the prompts to answer, or nothing. Raises UserError."""
    if (arguments.place is None) == (arguments.prompts is None):
        raise UserError("expected one of --as CELL, to import answers, and --prompts TABLE, to write what to answer")
    if arguments.prompts:
        _write_prompts(arguments)
        return
    rows, columns, form = read_outputs(arguments.file, _mapping(arguments.map) if arguments.map else None)
    plan = plan_of(arguments.config)
    target, table, (row, *columns_named) = _place(plan, "--as", arguments.place, "paper/table/row")
    column = _column(table, columns_named, f'--as is "{arguments.place}"')
    if row in {cell["row"] for cell in table.spec["cells"] if "samples_from" not in cell}:
        raise UserError(f'--as is "{arguments.place}", but the table has a row {row} of its own; expected a new name')
    given = {"file": show(arguments.file.resolve()), "map": columns}
    ignored = {key: True for key in ("ignore_extra", "ignore_missing") if getattr(arguments, key)}
    given |= ignored
    path = folder() / f"{table.spec['paper']}_{table.spec['table']}_{row}.yaml"
    content: dict[str, Any] = dict(read_mapping(path)) if path.is_file() else {"label": arguments.label or row}
    if (scale := content.get("scale", plan.config.scale)) != plan.config.scale:
        raise UserError(f"{show(path)} is of scale {scale}; give the row another name, or remove the file")
    content |= {"table": f"{table.spec['paper']}/{table.spec['table']}", "row": row, "scale": plan.config.scale}
    content |= {"label": arguments.label} if arguments.label else {}
    content["columns"] = (content.get("columns") or {}) | {column: given}
    if arguments.reported is not None:
        content["reported"] = (content.get("reported") or {}) | {column: arguments.reported}
    prompts = _prompts(plan, table, column)
    said = "prompts are checked then"
    if prompts.is_file():  # else the job asks, once the data are there
        answers, unanswered = imported(arguments.file, columns, prompts, **ignored)
        said = f"they answer the prompts of {prompts.parent.name}"
        if unanswered:
            said = f"they answer {len(answers)} prompts of {prompts.parent.name}, {unanswered} are left out"
    write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    also = f" --config {' '.join(plan.config.arguments())}" if plan.config.arguments() else ""
    sys.stdout.write(f"{show(path)}: {len(rows)} answers, read as {form}; {said}.\nNext: snakemake {target}{also}\n")


def _mapping(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if wrong := [field for field, sign, column in pairs if not (sign and column)]:
        raise UserError(f'--map: "{wrong[0]}" is no FIELD=COLUMN, such as prompt=instruction,response=output')
    columns = {field.strip(): column for field, _, column in pairs}
    checked(Mapping, columns, "--map")
    return columns


def _write_prompts(arguments: argparse.Namespace) -> None:
    """The prompts of an evaluation, a line each with a place for the answer, without any answer of others."""
    plan = plan_of(arguments.config)
    _, table, named = _place(plan, "--prompts", arguments.prompts, "paper/table")
    column = _column(table, named, f'--prompts is "{arguments.prompts}"')
    path = _prompts(plan, table, column)
    if not path.is_file():
        command = f"snakemake {path.with_name('manifest.json')}"
        also = f" --config {' '.join(plan.config.arguments())}" if plan.config.arguments() else ""
        raise UserError(f"{path} is not there yet. Next: {command}{also}")
    if arguments.file.exists():
        raise UserError(f"{arguments.file} exists; expected a new file to write the prompts to")
    rows = []
    for _, row in read_jsonl(path):
        asked = {key: row[key] for key in ("prompt_id", "prompt", "turns") if key in row}
        rows.append(asked | ({"responses": [None] * len(row["turns"])} if row.get("turns") else {"response": None}))
    write_lines(arguments.file, map(text_of, rows))
    cell = f"{table.spec['paper']}/{table.spec['table']}/NEW-ROW/{column}"
    sys.stdout.write(
        f"{arguments.file}: {len(rows)} prompts. Put each answer in place of null (of several turns, one each in "
        f"`responses`).\nNext: prefrepro import-samples {arguments.file} --as {cell}\n"
    )


def _place(plan: Plan, option: str, place: str, expected: str) -> tuple[str, Node, list[str]]:
    """(target, table node, what is named behind the table). Raises UserError for an unknown table."""
    parts = address_of(place).split("/")
    known = {f"{node.spec['paper']}/{node.spec['table']}": target for target, node in plan.tables.items()}
    name, most = "/".join(parts[:2]), len(expected.split("/"))
    if name not in known or len(parts) not in (most, most + 1):
        raise UserError(
            f'{option} is "{place}"; expected {expected} or {expected}/column. '
            f"Tables: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name], plan.tables[known[name]], parts[2:]


def _column(table: Node, named: list[str], found: str) -> str:
    """The column that is named, or a table's only one. Raises UserError."""
    columns = list(dict.fromkeys(cell["column"] for cell in table.spec["cells"]))
    column = named[0] if named else columns[0] if len(columns) == 1 else None
    if column not in columns:
        raise UserError(
            f"{found}; expected one of the columns of {table.spec['paper']}/{table.spec['table']}: "
            f"{', '.join(columns)}.{nearest(named[0], columns) if named else ''}"
        )
    return str(column)


def _prompts(plan: Plan, table: Node, column: str) -> Path:
    """prompts.jsonl that the other rows of a column answer; it is there once the data were built."""
    cells = [cell for cell in table.spec["cells"] if cell["column"] == column]
    judged = [cell["verdict_ids"][0] for cell in cells if cell["sample_ids"]]
    if not judged:
        raise UserError(f"no row of column {column} is judged at this scale; expected one to take the prompts from")
    data = plan.node(plan.node(plan.node(judged[0]).inputs["sample"]).inputs["data"])
    return plan.results / data.folder / "prompts.jsonl"
