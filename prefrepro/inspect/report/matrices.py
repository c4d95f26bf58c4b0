"""Every table as a matrix of cells, labelled as its spec has it."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import Any

from prefrepro.inspect.report.folder import Folder
from prefrepro.inspect.results import seeds_of
from prefrepro.plan.nodes import Node
from prefrepro.specs.variant import variant_of
from prefrepro.stats.paired import holm
from prefrepro.tables.alarms import alarms
from prefrepro.tables.render import MEASURES, table_meta
from prefrepro.tables.view import clustered, number, view

NUMBERS = (
    "value", "ci_low", "ci_high", "reported", "delta", "delta_low", "delta_high", "p_vs_baseline", "diff", "diff_low",
    "diff_high", "margin", "n", "n_tie", "n_invalid", "n_seeds", "n_clusters", "design_effect",
)  # fmt: skip
TEXTS = (
    "row", "column", "metric", "status", "reason", "ci_method", "diff_method", "equivalence", "baseline", "judge",
    "reading", "commit",
)  # fmt: skip


Place = tuple[str, str, str]
"""Paper, table and variant"""


def tables(folder: Folder) -> list[dict[str, Any]]:
    """One entry per table of cells.csv, printed ones first, then the tables of settings."""
    specs = {(node.spec["paper"], node.spec["table"]): node for node in folder.plan.tables.values()}
    there: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for cell in folder.cells:
        there[cell["paper"], cell["table"], cell["variant"]].append(cell)
    rank = {place: (not specs[place].spec["is_printed"], number) for number, place in enumerate(specs)}
    ordered = sorted(
        there, key=lambda place: (*rank.get(place[:2], (True, len(rank))), place[2] != variant_of(folder.plan.config))
    )
    found = [_table(folder, place, there[place]) for place in ordered]
    return found + [settings for node in folder.plan.tables.values() if (settings := _settings(folder, node))]


def not_made(folder: Folder) -> list[str]:
    """Snakemake's targets of the printed tables that the folder does not hold."""
    there = {path.name.removesuffix(".cells.csv").partition("__")[0] for path in folder.path.glob("tables/*.cells.csv")}
    there |= {f"{cell['paper']}_{cell['table']}" for cell in folder.cells}
    specs = {target: folder.plan.tables[target].spec for target in folder.plan.printed}
    return [target for target, spec in specs.items() if f"{spec['paper']}_{spec['table']}" not in there]


def _table(folder: Folder, place: Place, given: list[dict[str, Any]]) -> dict[str, Any]:
    paper, table, variant = place
    plan = folder.plans.get(variant, folder.plan)
    node = next((node for node in plan.tables.values() if (node.spec["paper"], node.spec["table"]) == place[:2]), None)
    settings = "" if variant == variant_of(folder.plan.config) else variant
    spec: dict[str, Any] = node.spec if node else {"cells": [], "title": "", "where": "", "notes": [], "switches": []}
    known = {(cell["row"], cell["column"]): cell for cell in spec["cells"]}
    adjusted = holm([number(cell["p_vs_baseline"]) for cell in given])
    rows: list[dict[str, Any]] = [cell | {"p_holm": p} for cell, p in zip(given, adjusted, strict=True)]
    order = {at: rank for rank, at in enumerate(known)}
    rows.sort(key=lambda row: order.get((row["row"], row["column"]), len(order)))
    planned = [_labels(row, known) for row in rows]
    meta = table_meta(planned, spec["title"], spec["notes"], spec["switches"])
    cells = [_cell(folder, row) for row in planned]
    measures: dict[str, str] = {
        str(row["column"]): MEASURES.get(str(row["metric"]), str(row["metric"])) for row in rows
    }
    return {
        "id": f"{paper}/{table}" + (f"@{settings}" if settings else ""),
        "paper": paper,
        "name": _name(paper, table, spec) + (f", {settings}" if settings else ""),
        "title": spec["title"],
        "caution": meta.caution(),
        "measures": ", ".join(dict.fromkeys(measures.values())),
        "protocol": meta.protocol,
        "judges": list(dict.fromkeys(meta.judges.values())),
        "judge_is_substitute": meta.judge_is_substitute,
        "notes": [*meta.notes, *filter(None, [clustered(rows, meta.column_labels).strip()])],
        "rows": [{"key": key, "label": label} for key, label in meta.row_labels.items()],
        "columns": [
            {"key": key, "label": label, "measure": measures[key]} for key, label in meta.full_column_labels().items()
        ],
        "cells": cells,
        "alarms": alarms([cell | _ids(folder, cell) for cell in planned], folder.path, folder.verdicts.__getitem__),
        "pairs": [pair for pair in folder.pairs if tuple(pair[key] for key in ("paper", "table", "variant")) == place],
    }


def _ids(folder: Folder, cell: dict[str, Any]) -> dict[str, list[str]]:
    """Runs of a row of cells.csv, and verdict sets as far as the folder has them."""
    seeds = seeds_of(cell)
    verdicts = [str(seed["verdict"]) for seed in seeds if seed["verdict"] in folder.verdicts]
    return {"verdict_ids": verdicts, "run_ids": [str(seed["run"]) for seed in seeds if seed["run"]]}


def _name(paper: str, table: str, spec: dict[str, Any]) -> str:
    """Where it stands in print; `paper/table` of a table that is ours alone."""
    return f"{paper.upper()} {spec['where']}" if spec.get("is_printed") else f"{paper}/{table}"


def _labels(row: dict[str, Any], known: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    """A row of cells.csv as `table_meta` wants it: what only the spec knows is laid under it."""
    at = row["row"], row["column"]
    own = {"row_label": at[0], "column_label": at[1], "protocol": "not known", "judge_is_substitute": False}
    is_held_against = row["status"] in ("consistent", "differs", "substitute_judge")
    return own | {"comparable": is_held_against} | known.get(at, {}) | row


def _cell(folder: Folder, row: dict[str, Any]) -> dict[str, Any]:
    shown = view(row)
    seeds = seeds_of(row)
    return {
        **{key: number(row[key]) for key in (*NUMBERS, "p_holm")},
        **{key: row[key] for key in TEXTS},
        "text": {
            "value": shown.value,
            "interval": shown.interval,
            "printed": shown.printed,
            "counts": shown.counts,
            "difference": shown.difference,
        },
        "method": folder.method(seeds[0]["run"]) if seeds else None,
        "seeds": seeds,
    }


def _settings(folder: Folder, node: Node) -> dict[str, Any] | None:
    """A table of settings, as its CSV has it; none where it is not made or no such table."""
    path = folder.path / "tables" / f"{node.name}.csv"
    if not (node.spec.get("settings") or node.spec.get("shown")) or not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    shown = 4 if node.spec.get("settings") else 3
    return {
        "id": f"{node.spec['paper']}/{node.spec['table']}",
        "paper": node.spec["paper"],
        "name": _name(node.spec["paper"], node.spec["table"], node.spec),
        "title": node.spec["title"],
        "notes": node.spec["notes"],
        "settings": {"head": head[:shown], "rows": [row[:shown] for row in rows]},
        "cells": [],
    }
