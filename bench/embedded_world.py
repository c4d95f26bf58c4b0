"""Does the embedded world tell methods apart, is it stable over seeds, and does no method degenerate in it?

`python -m bench.embedded_world [TABLE …] [KEY=VALUE …]` reads what `snakemake TABLE …` (by default
embedded_world and table1) left behind for the same config, prints one line per table, column and row (means over seeds
and the spread between them; `--seeds` one line per seed), and exits with 1 where a bound of docs/embedded-world.md is
broken. `--write PAGE` puts it between the page's marks. It trains nothing.

`--beside FOLDER` names the results of the same command by another checkout, such as one whose scale says `threads: 2`,
and adds by how much rounding alone spreads a row.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from bench.page import with_block
from bench.stamp import digest, stamp
from prefrepro.cli.parser import parse_config
from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.template import render_history
from prefrepro.data.world.reward import reward
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text
from prefrepro.model.examples import read_rows
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.stats.metrics import VerdictSet, summarise
from prefrepro.tables.signs import beta_of, fall_of

CONTROL = "dpo"
CONTROL_DATA = "hh"
"""The method that must stand clear of SFT, and where"""
WIN_RATE_GAIN = 10.0
"""DPO over SFT, in points, with disjoint 95 % intervals"""
REWARD_ACCURACY = 0.65
"""of DPO, on held-out pairs"""
LENGTH = (0.4, 1.6)
"""mean words of a method's responses, as a multiple of the chosen responses'"""
DEFAULT_TABLES = ["embedded_world", "table1"]
DISTINCT_2 = 0.9
"""mean share of distinct word pairs in a response, as a multiple of the chosen responses', at least"""
SPREAD = 2.5
"""Points: standard deviation of a row's win rate between training seeds, at most, where there are three or more"""
SEEDS = 3
"""from which the spread is held to its bound"""


MEASURED = ("known_reward", "win_rate", "reward_accuracy", "chosen_fall", "words", "words_ratio", "distinct_2_ratio")


def words(texts: list[str]) -> float:
    """Mean number of words of a response."""
    return sum(len(text.split()) for text in texts) / len(texts)


def distinct_2(texts: list[str]) -> float:
    """Mean share of a response's word pairs that are distinct; 1 where it has none."""
    pairs = [list(pairwise(text.split())) for text in texts]
    return sum(len(set(found)) / len(found) if found else 1.0 for found in pairs) / len(texts)


def measure(plan: Plan, verdict: Node) -> dict[str, Any]:
    """One line of the report: a verdict set, its samples and its run."""
    sample = plan.node(verdict.inputs["sample"])
    run = plan.node(sample.inputs["run"])
    if not (plan.results / verdict.done).is_file():
        raise UserError(f"{verdict.id} is not there. Next: snakemake TABLE … --config …, both as here")
    verdicts = read_csv(plan.results / verdict.folder / "verdicts.csv", "verdicts")
    rate = summarise("win_rate_pct", [VerdictSet(verdicts, {})], plan.config.protocol)
    rows = read_rows(plan.results / sample.folder / "samples.jsonl")
    with (plan.results / run.folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        logged = list(csv.DictReader(file))
    ours, data = [row["response"] for row in rows], [row["baseline"] for row in rows]
    manifest = json.loads((plan.results / run.done).read_text(encoding="utf-8"))["row"]
    return {
        "method": run.spec["method"],
        "dataset": run.dataset,
        "seed": run.spec["seed"],
        "known_reward": sum(reward(render_history(row["prompt"]), row["response"]) for row in rows) / len(rows),
        "win_rate": rate.value,
        "ci_low": rate.ci_low,
        "ci_high": rate.ci_high,
        "reward_accuracy": manifest["reward_accuracy"],
        "chosen_fall": fall_of(logged, beta_of(manifest)),
        "words": words(ours),
        "words_ratio": words(ours) / words(data),
        "distinct_2_ratio": distinct_2(ours) / distinct_2(data),
    }


def averaged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each row of a table's column: means over seeds, `seeds`, and `spread` between their win rates."""
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in lines:
        rows.setdefault((line["column"], line["row"], line["method"]), []).append(line)
    return [
        {
            **dict(zip(("column", "row", "method"), row, strict=True)),
            "seeds": len(found),
            **{key: _mean([line[key] for line in found]) for key in MEASURED},
            "spread": stdev(line["win_rate"] for line in found) if len(found) > 1 else None,
        }
        for row, found in rows.items()
    ]


def spread_beside(lines: list[dict[str, Any]], folder: Path) -> dict[tuple[str, str], float]:
    """(column, row) -> how far a win rate scatters, in points, between two trainings of one seed: here and in `folder`.

    Root mean square over seeds of the difference, over √2: the scale of a standard deviation, as `spread` is. Raises
    UserError where `folder` lacks a row or seed.
    """
    found = read_csv(folder / "cell_seeds.csv", "cell_seeds")
    is_same = found["variant"].str.fullmatch(r"default|seeds=\d+")
    cells: list[dict[str, Any]] = found.loc[is_same].to_dict(orient="records")
    there = {
        (f"{cell['paper']}_{cell['table']}, {cell['column']}", cell["row"], cell["seed"]): cell["value"]
        for cell in cells
    }
    squares: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        cell = line["column"], line["row"], line["seed"]
        if cell not in there:
            raise UserError(f"{folder}/cell_seeds.csv has no {line['column']}, row {line['row']}, seed {line['seed']}")
        squares.setdefault(cell[:2], []).append((line["win_rate"] - there[cell]) ** 2)
    return {cell: math.sqrt(mean(values) / 2) for cell, values in squares.items()}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None  # SFT has no rewards


def broken_bounds(lines: list[dict[str, Any]], beside: dict[tuple[str, str], float] | None = None) -> list[str]:
    """One sentence for each bound that a row, or the same row of one seed, breaks."""
    broken = []
    sft = {(line["column"], line["seed"]): line for line in lines if line["method"] == "sft"}
    for line in lines:
        who = f"{line['column']}, {line['row']}, seed {line['seed']}"
        base = sft.get((line["column"], line["seed"]))
        if line["method"] == CONTROL and line["dataset"] == CONTROL_DATA and base:
            if line["win_rate"] - base["win_rate"] < WIN_RATE_GAIN or line["ci_low"] <= base["ci_high"]:
                broken.append(f"{who}: {line['win_rate']:.1f} is not clear of SFT's {base['win_rate']:.1f}")
            if line["reward_accuracy"] < REWARD_ACCURACY:
                broken.append(f"{who}: the reward accuracy is {line['reward_accuracy']:.3f}")
        if not LENGTH[0] <= line["words_ratio"] <= LENGTH[1]:
            broken.append(f"{who}: responses are {line['words_ratio']:.2f} times as long as the data's")
        if line["distinct_2_ratio"] < DISTINCT_2:
            broken.append(f"{who}: distinct-2 is {line['distinct_2_ratio']:.2f} of the data's")
    for row in averaged(lines):
        who = f"{row['column']}, {row['row']}"
        if row["seeds"] >= SEEDS and row["spread"] > SPREAD:
            broken.append(f"{who}: its {row['seeds']} seeds spread by {row['spread']:.1f} points")
        if (rounding := (beside or {}).get((row["column"], row["row"]), 0.0)) > SPREAD:
            broken.append(f"{who}: another order of sums spreads it by {rounding:.1f} points")
    return broken


def main() -> None:
    """Print the report, or put it into a page; exit 1 where a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.embedded_world", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="TABLE | KEY=VALUE", help=f"default: {' '.join(DEFAULT_TABLES)}")
    parser.add_argument("--seeds", action="store_true", help="a line for each seed")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="results/embedded of another checkout")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the report between the marks of this page")
    arguments = parser.parse_intermixed_args()
    tables = [word for word in arguments.words if "=" not in word] or DEFAULT_TABLES
    plan = make_plan(parse_config([word for word in arguments.words if "=" in word]))
    lines = [
        {"column": column, "row": row, **measure(plan, plan.node(verdict))}
        for column, row, verdict in verdicts_of(plan, tables)
    ]
    beside = spread_beside(lines, arguments.beside) if arguments.beside else {}
    rows = averaged(lines)
    for row in rows:
        row["beside"] = beside.get((row["column"], row["row"]))
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        write_text(arguments.write, with_block(page, "embedded_world", report(plan, tables, rows)))
    else:
        shown = lines if arguments.seeds else rows
        sys.stdout.write(tabulate(shown, headers="keys", tablefmt="github", floatfmt=".3f") + "\n")
    if broken := broken_bounds(lines, beside):
        sys.stdout.write("\n".join(["Broken:", *broken]) + "\n")
        sys.exit(1)


def verdicts_of(plan: Plan, tables: list[str]) -> list[tuple[str, str, str]]:
    """Column, row and verdict set of every number that a judge of pairs gave; of one training's answers each."""
    nodes = [plan.table_named(table) for table in tables]
    return [
        (f"{node.name.partition('__')[0]}, {cell['column']}", cell["row"], verdict)
        for node in nodes
        for cell in node.spec["cells"]
        for verdict in cell["verdict_ids"]
        if plan.node(verdict).kind == "verdict" and "sample" in plan.node(verdict).inputs
    ]


def report(plan: Plan, tables: list[str], rows: list[dict[str, Any]]) -> str:
    """What a page shows, and whose numbers these are: `answers` changes where any of their trainings would."""
    of_page = {
        "column": "table, column", "row": "row", "seeds": "seeds", "win_rate": "win rate, %", "spread": "spread",
        "beside": "spread by rounding", "known_reward": "true reward", "reward_accuracy": "reward accuracy",
        "words_ratio": "words × data's", "distinct_2_ratio": "distinct-2 × data's",
        "chosen_fall": "chosen log-prob lost",
    }  # fmt: skip
    if all(row["beside"] is None for row in rows):
        del of_page["beside"]
    shown = [{head: row[key] for key, head in of_page.items()} for row in rows]
    points = (".1f",) * (2 + ("beside" in of_page))
    formats = ("", "", "", *points, ".2f", ".3f", ".2f", ".2f", ".0%")
    found = stamp("torch", "transformers")
    return "\n".join([
        f"<!-- answers: {digest_of(plan, tables)} -->",
        f"`python -m bench.embedded_world {' '.join(tables)} seeds={plan.config.seeds}` at commit {found['commit']}, "
        f"{found['machine']}, {found['versions']}:",
        "",
        tabulate(shown, headers="keys", tablefmt="github", floatfmt=formats),
    ])  # fmt: skip


def digest_of(plan: Plan, tables: list[str]) -> str:
    """Names the answers that the tables rest on."""
    return digest(plan.node(verdict).inputs["sample"] for _, _, verdict in verdicts_of(plan, tables))


if __name__ == "__main__":
    exit_on_user_error(main)
