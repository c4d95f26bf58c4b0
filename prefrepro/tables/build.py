"""The table node of the DAG: cells of one table, its files in every format, and the six CSVs of the folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.specs.evaluation import PREFERENCE
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.specs.variant import table_name
from prefrepro.stats.metrics import VerdictSet, summarise
from prefrepro.tables.alarms import alarms
from prefrepro.tables.cells import build_cell_seeds, build_cells, missing
from prefrepro.tables.collect import collect
from prefrepro.tables.pairs import build_pairs
from prefrepro.tables.render import settings_meta, table_meta, write_settings, write_shown, write_table
from prefrepro.tables.shown import read_shown


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """Write the table's files (.csv, .md, .tex, .html, .cells.csv, .cell_seeds.csv, .pairs.csv), then the six CSVs.

    Raises UserError.
    """
    write(spec, out.parent.parent, out.parent)
    collect(out.parent.parent)


def write(spec: dict[str, Any], results: Path, tables: Path) -> None:
    """Write the files of a table into `tables`, of what stands in `results`.

    Raises UserError where a cell has no value: a table with a hole is not a finished table.
    """

    def commit(run_ids: list[str]) -> str | None:
        """The commit of the first run; None for a cell that trained nothing."""
        if not run_ids:
            return None
        run = json.loads((results / "runs" / run_ids[0] / "run.json").read_text(encoding="utf-8"))
        return run["row"]["commit"]

    @functools.cache
    def verdicts(verdict_id: str) -> VerdictSet:
        folder = results / "verdicts" / verdict_id
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        groups = dict(manifest.get("groups", ()))
        return VerdictSet(read_csv(folder / "verdicts.csv", "verdicts"), manifest["metrics"], groups)

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
        notes = [
            *spec["notes"],
            *unanswered(planned, results),
            *cut_prompts(planned, results),
            *held_out(spec, results, verdicts),
        ]
        meta = table_meta(planned, title, notes, spec["switches"])
        odd = alarms(planned, results, lambda name: verdicts(name).frame)
        write_table(cells, replace(meta, alarms=odd), tables)
    pairs = build_pairs(planned, spec["compare"], verdicts)
    tidy = {"cells": cells, "cell_seeds": build_cell_seeds(planned, verdicts), "pairs": pairs}
    for name, frame in tidy.items():
        write_csv(frame, tables / f"{table_name(spec)}.{name}.csv", name)


RANKED_BY = {
    "reward": "log-ratio to the reference",
    "logp": "summed log-prob",
    "logp_per_token": "log-prob per token",
    "score": "score of the reward model",
}


def held_out(spec: Mapping[str, Any], results: Path, verdicts: Callable[[str], VerdictSet]) -> list[str]:
    """What a table says of held-out preferences: how many there are, by what each row is ranked, and how well a reward
    model that judges a column ranks them."""

    def manifest(node_id: str) -> dict[str, Any]:
        return json.loads((results / "verdicts" / node_id / "manifest.json").read_text(encoding="utf-8"))

    ranked = [cell for cell in spec["cells"] if cell["evaluation"] == PREFERENCE and cell["verdict_ids"]]
    said = []
    for label in dict.fromkeys(cell["column_label"] for cell in ranked):
        own = [
            (cell["row_label"], manifest(cell["verdict_ids"][0])) for cell in ranked if cell["column_label"] == label
        ]
        rows: dict[str, list[str]] = {}
        for row_label, one in own:
            by = "score" if one["spec"]["output"] == "score" else one["spec"]["by"]
            without = ", without a reference" if by.startswith("logp") and "reward" not in one["won_pct"] else ""
            rows.setdefault(RANKED_BY[by] + without, []).append(row_label)
        of = own[0][1]
        by_what = "; ".join(f"{', '.join(labels)} by {what}" for what, labels in rows.items())
        said.append(
            f"{label}: {of['pairs']:,} labelled pairs of {of['prompts']:,} prompts, part {of['spec']['part']}; ties of "
            f"the labels, left out: {of['label_ties']:,}. Ranked: {by_what}."
        )
    for check in spec.get("judge_checks", ()):
        found, pairs = summarise("accuracy_pct", [verdicts(check["id"])], "paper"), manifest(check["id"])["pairs"]
        said.append(
            f"{check['column_label']}: the reward model that judges this column ranks {pairs:,} held-out labelled "
            f"pairs right in {found.value:.2f} % [{found.ci_low:.2f}, {found.ci_high:.2f}]."
        )
    return said


def unanswered(cells: Sequence[Mapping[str, Any]], results: Path) -> list[str]:
    """What a table says of prompts that a file of answers from elsewhere does not answer."""
    said = []
    for cell in cells:
        for sample in cell["sample_ids"] if cell.get("samples_from") else ():
            manifest = json.loads((results / "samples" / sample / "manifest.json").read_text(encoding="utf-8"))
            if left_out := manifest.get("unanswered"):
                of = f"{left_out:,} of {left_out + manifest['n']:,} prompts"
                said.append(f"{cell['row_label']}, {cell['column_label']}: {of} have no answer and are left out.")
    return said


def cut_prompts(cells: Sequence[Mapping[str, Any]], results: Path) -> list[str]:
    """What a table says of prompts that were cut: the largest share of any run and of any sample set, by column."""

    def share(paths: Iterable[Path], count: Callable[[dict[str, Any]], dict[str, int]], of: str) -> float:
        counts = [count(json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.is_file()]
        return max((100 * one["prompts_cut"] / one[of] for one in counts if one.get(of)), default=0.0)

    said = []
    for label in dict.fromkeys(cell["column_label"] for cell in cells):
        own = [cell for cell in cells if cell["column_label"] == label]
        samples = {results / "samples" / one / "manifest.json" for cell in own for one in cell["sample_ids"]}
        runs = {results / "runs" / one / "run.json" for cell in own for one in cell["run_ids"]}
        answered = share(samples, lambda manifest: manifest, "turns")
        trained = share(runs, lambda run: run.get("truncation", {}), "sequences")
        if answered or trained:
            said.append(f"{label}: {answered:.1f} % of those answered, {trained:.1f} % of those trained on")
    return [f"Prompts that were cut: {'; '.join(said)}."] if said else []
