"""python -m bench.real --write docs/real.md: the results of `make real` as they stand in results/laptop.

Puts the tables, what they were made of and what they cost between the markers of the page. Computes nothing anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from bench.stamp import stamp
from prefrepro.errors import UserError, exit_on_user_error

RESULTS = Path("results/laptop")
TABLES = ("laptop_learning_rate", "laptop_quick", "laptop_pairs", "laptop_groups", "laptop_answers")
START, END = "<!-- results: python -m bench.real -->", "<!-- end of results -->"


def _table(name: str) -> str:
    path = RESULTS / "tables" / f"{name}.md"
    if not path.is_file():
        return f"`{name}` is not made yet."
    return path.read_text(encoding="utf-8").strip()


def _data() -> str:
    """One line for each data set: rows of each part, and the hash of its files."""
    lines = ["| data set | train | dev | eval | judge | sha256 of train.jsonl |", "|---|---:|---:|---:|---:|---|"]
    for path in sorted((RESULTS / "data").glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        rows = manifest["rows"]
        numbers = " | ".join(f"{rows.get(part, 0):,}" for part in ("train", "dev", "eval", "judge"))
        lines.append(f"| {path.parent.name.rsplit('_', 1)[0]} | {numbers} | `{manifest['sha256']['train'][:16]}` |")
    return "\n".join(lines)


def _cost() -> str:
    """Hours by rule, from Snakemake's own benchmarks."""
    lines = ["| jobs | number | minutes | largest memory, GB |", "|---|---:|---:|---:|"]
    total = 0.0
    for folder in sorted((RESULTS / "benchmarks").iterdir()):
        found = [pd.read_csv(path, sep="\t") for path in folder.glob("*.tsv")]
        if not found:
            continue
        frame = pd.concat(found)
        minutes = frame["s"].sum() / 60
        memory = pd.to_numeric(frame["max_rss"], errors="coerce").max() / 1024
        total += minutes
        lines.append(f"| {folder.name} | {len(frame)} | {minutes:.1f} | {memory:.1f} |")
    return "\n".join([*lines, f"| together | | {total:.0f} | |"])


def page() -> str:
    """Markdown of everything that is measured."""
    made = stamp("torch", "transformers")
    facts = ", ".join(f"{name} {value}" for name, value in made.items())
    return "\n\n".join([*map(_table, TABLES), "### Data", _data(), "### Cost", _cost(), f"Made with: {facts}."])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=__doc__.splitlines()[0])
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
