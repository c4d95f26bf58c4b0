"""python -m bench.real --write docs/real.md: the results of `make real` as they stand in results/laptop.

Puts the tables, what they were made of and what they cost between the markers of the page. Computes nothing anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench.stamp import cpu, stamp
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.specs.table import read_table

RESULTS = Path("results/laptop")
SPECS = Path("paper_tables/laptop")
TABLES = ("learning_rate", "quick", "pairs", "groups", "answers")
START, END = "<!-- results: python -m bench.real -->", "<!-- end of results -->"


def _table(name: str) -> str:
    spec = read_table(SPECS / f"{name}.yaml")
    paths = [RESULTS / "tables" / f"laptop_{name}{seeds}.cells.csv" for seeds in ("__seeds-3", "")]
    path = next(filter(Path.is_file, paths), paths[-1])
    title = f"### {spec.title}"
    if not path.is_file():
        return f"{title}\n\n`laptop_{name}` is not made yet."
    cells = pd.read_csv(path).set_index(["row", "column"]).to_dict("index")
    labels = {row.key: row.label for row in spec.rows}
    baseline = next(iter(cells.values()))["baseline"]
    lines = ["| method | " + " | ".join(column.label for column in spec.columns) + " |"]
    lines.append("|---|" + "---|" * len(spec.columns))
    for row in spec.rows:
        found = [_cell(cells[row.key, column.key], row.key == baseline) for column in spec.columns]
        lines.append(f"| {labels[row.key]} | " + " | ".join(found) + " |")
    said = f"Percent [95 % interval]; difference from {labels[baseline]} in points [95 % interval]."
    return "\n\n".join([title, *spec.notes, said, "\n".join(lines), _seeds(list(cells.values()))])


def _cell(cell: dict[str, Any], is_baseline: bool) -> str:
    value = f"{cell['value']:.1f} [{cell['ci_low']:.1f}, {cell['ci_high']:.1f}]"
    if is_baseline or cell["diff"] != cell["diff"]:
        return value
    return f"{value}; {cell['diff']:+.1f} [{cell['diff_low']:+.1f}, {cell['diff_high']:+.1f}]"


def _seeds(cells: list[dict[str, Any]]) -> str:
    seeds, marked = max(int(cell["n_seeds"]) for cell in cells), [c for c in cells if c["p_vs_baseline"] < 0.05]
    found = f"{len(marked)} of {len(cells)} cells have p < 0.05 against the baseline (not adjusted for their number)."
    return f"{seeds} training{'s' if seeds > 1 else ''} a row. {found}"


def _margins() -> str:
    """How large the margins are beside bfloat16's rounding, for each training that is ranked on eval."""
    lines = ["| ranking | median margin, nats | below 0.6 nats |", "|---|---:|---:|"]
    for path in sorted((RESULTS / "verdicts").glob("*_eval_*/margins.csv")):
        sizes = pd.read_csv(path)["reward"].dropna().abs()
        if len(sizes):
            below = 100 * (sizes < 0.6).mean()
            lines.append(f"| `{path.parent.name}` | {sizes.median():.1f} | {below:.1f} % |")
    return "\n".join(lines)


def _data() -> str:
    """One line for each data set: rows of each part, and the hash of its training rows."""
    lines = ["| data set | train | dev | eval | judge | SHA-256 of train.jsonl |", "|---|---:|---:|---:|---:|---|"]
    found = {}
    for path in sorted((RESULTS / "data").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        numbers = " | ".join(f"{manifest['rows'].get(part, 0):,}" for part in ("train", "dev", "eval", "judge"))
        name = path.parent.name.rsplit("_", 1)[0]
        found[name] = f"| {name} | {numbers} | `{manifest['sha256']['train'][:16]}` |"
    return "\n".join([*lines, *sorted(found.values())])


def _cost() -> str:
    """Minutes by kind of job, from Snakemake's own benchmarks, and what a training takes."""
    lines, total = ["| jobs | number | minutes |", "|---|---:|---:|"], 0.0
    for folder in sorted((RESULTS / "benchmarks").iterdir()):
        found = [pd.read_csv(path, sep="\t")["s"].sum() / 60 for path in folder.glob("*.tsv")]
        if found:
            total += sum(found)
            lines.append(f"| {folder.name} | {len(found)} | {sum(found):.0f} |")
    runs = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in (RESULTS / "runs").glob("*/run.json")]
    most = max(run["peak_mem_gb"] for run in runs)
    said = f"Jobs of one thread, two side by side: {total:.0f} minutes in all. A training holds up to {most:.1f} GB."
    return "\n".join([*lines, "", said])


def page() -> str:
    """Markdown of everything that is measured."""
    made = stamp("torch", "transformers")
    facts = f"Made at commit {made['commit']} on {cpu()}; {made['versions']}."
    return "\n\n".join(
        [*map(_table, TABLES), "### Margins", _margins(), "### Data", _data(), "### Cost", _cost(), facts]
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.real", description="Results of `make real` as a page.")
    parser.add_argument("--write", type=Path, help="the page; without it, printed")
    given = parser.parse_args()
    if not RESULTS.is_dir():
        raise UserError(f"{RESULTS} is missing. Expected the results of `make real`.")
    if given.write is None:
        print(page())
        return
    before, found, rest = given.write.read_text(encoding="utf-8").partition(START)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise UserError(f"{given.write}: the lines {START} and {END} are missing; results stand between them.")
    given.write.write_text(f"{before}{START}\n\n{page()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    exit_on_user_error(main)
