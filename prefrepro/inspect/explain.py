"""A cell's chain backwards as plain data: verdicts, samples, run, what it started from, data.

Reads what the jobs left: records, manifests and the table. Asks the plan only to suggest a cell for an unknown address.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

from prefrepro.errors import UserError
from prefrepro.inspect.facts import facts_of
from prefrepro.inspect.results import Cell, Results, address, ids_of, of_variant, read_manifest, seeds_of
from prefrepro.plan.build import make_plan
from prefrepro.specs.files import names_in
from prefrepro.specs.table import address_of
from prefrepro.specs.variant import DEFAULT, table_name

NUMBERS = (
    "reported", "value", "ci_low", "ci_high", "delta", "delta_low", "delta_high", "p_vs_baseline", "diff", "diff_low",
    "diff_high", "margin",
)  # fmt: skip
COUNTS = ("n", "n_tie", "n_invalid", "n_seeds")
FOLDERS = {"verdict_id": "verdicts", "sample_id": "samples", "run_id": "runs"}


def explain(results: Results, wanted: str, variant: str = DEFAULT) -> dict[str, Any]:
    """The chain of one cell of a table's variant, all JSON.

    `cell`: its row of cells.csv, typed. `printed`: {value, where}. `table`: {title, protocol, switches, notes,
    record}. `seeds`: for each training seed the ids of its verdicts, samples and run. `jobs`: id -> {kind, folder,
    inputs, commit, dirty, code_digest, seed, config, versions, hardware, started, wall_s, facts, files}, the cell's
    own first; fields of a job without a record are None. Raises UserError for a cell that is not there.
    """
    cell = find_cell(results, wanted, variant)
    record = results.records.get(table_name(cell), {})
    spec = record.get("spec", {})
    planned = next((one for one in spec.get("cells", []) if address(one) == address(cell)), {})
    return {
        "address": address(cell),
        "results": str(results.path),
        "cell": _typed(cell),
        "printed": {
            "value": _number(cell["reported"]),
            "where": planned.get("where"),
            "row": planned.get("row_label"),
            "column": planned.get("column_label"),
        },
        "table": {
            **{key: spec.get(key) for key in ("title", "where", "protocol", "notes", "switches")},
            **{key: record.get(key) for key in ("commit", "dirty", "started")},
        },
        "seeds": seeds_of(cell),
        "jobs": chain(results, cell),
    }


def chain(results: Results, cell: Cell) -> dict[str, dict[str, Any]]:
    """Every job behind a cell, by id, those that it names first."""
    folders = {name: folder for column, folder in FOLDERS.items() for name in ids_of(cell, column)}
    return {
        name: _job(results, name, folders.get(name, ""))
        for name in results.upstream(folders)
        if name in results.records or name in folders
    }


def find_cell(results: Results, wanted: str, variant: str = DEFAULT) -> Cell:
    """The row of a cell by its address; the column may be left out where the row has one. Raises UserError."""
    known = {address(cell): cell for cell in results.cells}
    wanted = address_of(wanted)
    parts = wanted.split("/")
    every = [cell for name, cell in known.items() if name.partition(" ")[0].split("/")[: len(parts)] == parts]
    found = of_variant(every, variant)
    if every and not found and len(parts) >= 3:
        listed = "\n".join(f"  {address(cell)}" for cell in every)
        raise UserError(f'"{wanted}" is not made with the settings {variant}; expected one of\n{listed}')
    if len(found) == 1 and len(parts) >= 3:
        return found[0]
    if found:
        listed = "\n".join(f"  {address(cell)}" for cell in found)
        raise UserError(f'"{wanted}" is {len(found)} cells; expected one of\n{listed}')
    raise UserError(_no_such(results, wanted, [name.partition(" ")[0] for name in known]))


def _no_such(results: Results, wanted: str, known: list[str]) -> str:
    message = f'"{wanted}" is no cell of {results.path}; expected paper/table/row/column.'
    scale = results.path.name
    plan = make_plan({"scale": scale} if scale in names_in("scales") else {})
    targets = {address(cell): target for target, node in plan.tables.items() for cell in node.spec["cells"]}
    if wanted in targets:
        again = f"snakemake {targets[wanted]} --config scale={scale}"
        return f"{message} It is planned and not made yet; make it with: {again}"
    every = {**dict.fromkeys(known), **targets}
    near = [name for name in every if _words(name) == _words(wanted)] or difflib.get_close_matches(wanted, every, n=3)
    if near:
        named = [name if name in known else f"{name} (not made yet)" for name in near]
        return f"{message} Did you mean {' or '.join(named)}?"
    tables = sorted({"/".join(name.split("/")[:2]) for name in known})
    return f"{message} Its tables: {', '.join(tables) or 'none'}; the cells stand in {results.path}/cells.csv"


def _words(name: str) -> list[str]:
    """The parts of an address in no order: mistral-7b-hh and hh-mistral-7b have the same."""
    return sorted(re.split("[/_-]", name))


def _job(results: Results, name: str, folder: str) -> dict[str, Any]:
    """One job by its record, or by its manifest where an older version made it or the record is lost."""
    place = results.places[name] if name in results.records else None
    where = place.removeprefix("records/").removesuffix(".json") if place else f"{folder}/{name}"
    manifest = read_manifest(results.path / where)
    record = results.records.get(name) or _from_manifest(manifest, folder) | {"inputs": results.inputs.get(name, {})}
    spec = record["spec"]
    return {
        "kind": record["kind"],
        "folder": where,
        "record": place,
        "inputs": record["inputs"],
        **{key: record.get(key) for key in ("commit", "dirty")},
        **{key: spec.get(key) for key in ("code_digest", "seed")},
        **{key: record.get(key) for key in ("config", "versions", "hardware", "started", "wall_s")},
        "facts": facts_of(record["kind"], spec, manifest, results.path / where),
        "files": record.get("files"),
    }


def _from_manifest(manifest: dict[str, Any], folder: str) -> dict[str, Any]:
    """What a manifest says of what a record would."""
    row, spec = manifest.get("row", {}), manifest.get("spec", {})
    return {
        "kind": spec.get("kind", folder.removesuffix("s")),
        "spec": spec,
        **{key: row.get(key) for key in ("commit", "dirty")},
        "versions": json.loads(row["versions"]) if row.get("versions") else None,
        "wall_s": row.get("wall_s", manifest.get("wall_s")),
    }


def _typed(cell: Cell) -> dict[str, Any]:
    numbers = {key: _number(cell[key]) for key in NUMBERS if key in cell}
    counts = {key: int(cell[key]) for key in COUNTS if cell.get(key)}
    return {key: value or None for key, value in cell.items()} | numbers | counts


def _number(text: str | None) -> float | None:
    return float(text) if text else None
