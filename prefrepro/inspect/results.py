"""A finished results folder read by itself: records, manifests, cells, and which cell rests on which job.

Asks no plan: the folder may come from another checkout.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError
from prefrepro.jobs.record import FOLDER
from prefrepro.plan.kinds import KINDS
from prefrepro.specs.variant import DEFAULT, table_name

JOB_FOLDERS = tuple(dict.fromkeys(kind.folder for kind in KINDS.values()))
Record = dict[str, Any]
Cell = dict[str, Any]
"""A row of cells.csv as text, or a planned cell: both hold its address."""
KEYS = ("paper", "table", "row", "column")
IDS = ("verdict_id", "sample_id", "run_id")
SEPARATOR = ";"
"""Between the ids of several seeds in one field of cells.csv."""


def address(cell: Cell) -> str:
    """paper/table/row/column as a user types it, and after it what --config sets of its variant."""
    variant = cell.get("variant") or DEFAULT
    return "/".join(cell[key] for key in KEYS) + ("" if variant == DEFAULT else f" {variant}")


def _table_of(name: str) -> str:
    """What the files of a cell's table are called, from the cell's address."""
    place, _, variant = name.partition(" ")
    return table_name({**dict(zip(KEYS, place.split("/"), strict=False)), "variant": variant})


def of_variant(cells: Iterable[Cell], variant: str = DEFAULT) -> list[Cell]:
    """The cells of one variant; where that is the default and a table has none of it, those of its only variant."""
    cells, there = list(cells), defaultdict[tuple[str, str], set[str]](set)
    for cell in cells:
        there[cell["paper"], cell["table"]].add(cell.get("variant") or DEFAULT)
    if variant == DEFAULT:
        only = {place: next(iter(known)) for place, known in there.items() if len(known) == 1}
        return [c for c in cells if (c.get("variant") or DEFAULT) == only.get((c["paper"], c["table"]), DEFAULT)]
    return [cell for cell in cells if cell.get("variant") == variant]


def ids_of(cell: Cell, column: str) -> list[str]:
    """The ids in one field of a cell, one for each training seed."""
    return [one for one in (cell[column] or "").split(SEPARATOR) if one]


def seeds_of(cell: Cell) -> list[dict[str, str | None]]:
    """Verdict set, sample set and run of each training seed of a row of cells.csv; None for what it has not."""
    columns = [ids_of(cell, column) for column in IDS]
    kinds = [column.removesuffix("_id") for column in IDS]
    return [dict(zip(kinds, seed, strict=True)) for seed in zip_longest(*columns)]


def open_results(folder: Path) -> Results:
    """Raises UserError where there is no such folder, or it holds no cell and no record."""
    if not folder.is_dir():
        known = sorted(str(path.parent) for path in Path("results").glob("*/cells.csv"))
        hint = f" There is {', '.join(known)}." if known else " Make one with: snakemake table1"
        raise UserError(f"{folder} is no results folder; expected one such as results/embedded.{hint}")
    if not (folder / "cells.csv").is_file() and not (folder / FOLDER).is_dir():
        raise UserError(f"{folder} holds neither cells.csv nor {FOLDER}/; expected a results folder, made by snakemake")
    return Results(folder)


@dataclass
class Results:
    """One results/<scale>/."""

    path: Path

    @cached_property
    def places(self) -> dict[str, str]:
        """Path of every record below the results, by its name: the id of its job, or <paper>_<table>."""
        paths = sorted((self.path / FOLDER).rglob("*.json"))
        return {path.stem: path.relative_to(self.path).as_posix() for path in paths}

    @cached_property
    def records(self) -> dict[str, Record]:
        """Every record that can be read, by name."""
        read = {name: read_record(self.path / place) for name, place in self.places.items()}
        return {name: record for name, record in read.items() if record is not None}

    @cached_property
    def cells(self) -> list[Cell]:
        """Rows of every table's *.cells.csv that can be read."""
        return [cell for path in sorted(self.path.glob("tables/*.cells.csv")) for cell in read_cells(path)]

    @cached_property
    def inputs(self) -> dict[str, dict[str, str]]:
        """Job -> role -> the job that it was made from, as its record says.

        Of one without a record only what the cells say: a verdict set's samples, and a sample set's run.
        """
        found: dict[str, dict[str, str]] = {}
        for seed in (seed for cell in self.cells for seed in seeds_of(cell)):
            for kind, below in (("verdict", "sample"), ("sample", "run")):
                if (name := seed[kind]) and (source := seed[below]):
                    found[name] = {below: source}
        return found | {name: record["inputs"] for name, record in self.records.items()}

    def upstream(self, names: Iterable[str]) -> list[str]:
        """These jobs and all that they were made from, the nearest first."""
        found, queue = dict[str, None](), list(names)
        while queue:
            name = queue.pop(0)
            if name not in found:
                found[name] = None
                queue += self.inputs.get(name, {}).values()
        return list(found)

    @cached_property
    def rests_on(self) -> dict[str, set[str]]:
        """Address of every cell -> the jobs behind it, by the tables' records; by *.cells.csv where there are none."""
        direct: dict[str, list[str]] = {}
        recorded = [record["spec"] for record in self.records.values() if record["kind"] == "table"]
        tables = {table_name(spec) for spec in recorded}
        for cell in self.cells:
            if table_name(cell) not in tables:
                direct[address(cell)] = [one for column in IDS for one in ids_of(cell, column)]
        for cell in (cell for spec in recorded for cell in spec.get("cells", [])):
            direct[address(cell)] = [*cell["verdict_ids"], *cell["sample_ids"], *cell["run_ids"]]
        return {name: set(self.upstream(jobs)) for name, jobs in direct.items()}

    def touched_by(self, names: Iterable[str]) -> list[str]:
        """Addresses of the cells that rest on any of these jobs, or stand in any of these tables (<paper>_<table>)."""
        wanted = set(names)
        return sorted(name for name, jobs in self.rests_on.items() if jobs & wanted or _table_of(name) in wanted)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that a job wrote. Raises UserError where it holds no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable JSON ({error}); delete its folder and run its rule again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds JSON of type {type(found).__name__}, expected an object; run its rule again")
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """run.json or manifest.json, which a job writes last; empty where its folder has neither. Raises UserError."""
    paths = [folder / name for name in ("run.json", "manifest.json") if (folder / name).is_file()]
    return read_json(paths[0]) if paths else {}


def benchmark_seconds(path: Path) -> list[float]:
    """Seconds of each attempt in a benchmark file of Snakemake. Raises UserError where it holds none."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        seconds = [float(row["s"]) for row in rows]
    except (KeyError, TypeError, ValueError):
        seconds = []
    if not seconds:
        raise UserError(f'{path} has no column "s" with seconds; expected a benchmark of Snakemake. Next: delete it')
    return seconds


def read_record(path: Path) -> Record | None:
    """A record, or None where it is none (any more)."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    shape = {"id": str, "kind": str, "spec": dict, "inputs": dict, "input_seals": dict, "files": dict}
    is_record = isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in shape.items())
    return record if is_record else None


def read_cells(path: Path) -> list[Cell]:
    """Rows of a *.cells.csv with the columns that name a cell and its jobs; none where the file is broken."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if all(row.get(key) for key in KEYS) and all(column in row for column in IDS)]
