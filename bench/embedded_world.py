"""Does the embedded world tell methods apart, is it stable over seeds, and does no method degenerate in it?

`python -m bench.embedded_world [TABLE …] [KEY=VALUE …]` reads what `snakemake TABLE …` (by default
embedded_world and table1) left behind for the same config, prints one line per table, column and row (means over seeds
and the spread between them; `--seeds` one line per seed), and exits with 1 where a bound of docs/embedded-world.md is
broken. It trains nothing.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from prefrepro.cli.parser import parse_config
from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.template import render_history
from prefrepro.data.world.reward import reward
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.model.examples import read_rows
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.stats.metrics import VerdictSet, summarise

CONTROL = "dpo"
"""The method that must stand clear of SFT: the world was fixed on the two of them."""
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


MEASURED = ("known_reward", "win_rate", "reward_accuracy", "words", "words_ratio", "distinct_2_ratio")


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
    ours, data = [row["response"] for row in rows], [row["baseline"] for row in rows]
    manifest = json.loads((plan.results / run.done).read_text(encoding="utf-8"))["row"]
    return {
        "method": run.spec["method"],
        "seed": run.spec["seed"],
        "known_reward": sum(reward(render_history(row["prompt"]), row["response"]) for row in rows) / len(rows),
        "win_rate": rate.value,
        "ci_low": rate.ci_low,
        "ci_high": rate.ci_high,
        "reward_accuracy": manifest["reward_accuracy"],
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
            **{key: mean(line[key] for line in found) for key in MEASURED},
            "spread": stdev(line["win_rate"] for line in found) if len(found) > 1 else None,
        }
        for row, found in rows.items()
    ]


def broken_bounds(lines: list[dict[str, Any]]) -> list[str]:
    """One sentence for each bound that a row, or the same row of one seed, breaks."""
    broken = []
    sft = {(line["column"], line["seed"]): line for line in lines if line["method"] == "sft"}
    for line in lines:
        who = f"{line['column']}, {line['row']}, seed {line['seed']}"
        base = sft.get((line["column"], line["seed"]))
        if line["method"] == CONTROL and base:
            if line["win_rate"] - base["win_rate"] < WIN_RATE_GAIN or line["ci_low"] <= base["ci_high"]:
                broken.append(f"{who}: {line['win_rate']:.1f} is not clear of SFT's {base['win_rate']:.1f}")
            if line["reward_accuracy"] < REWARD_ACCURACY:
                broken.append(f"{who}: the reward accuracy is {line['reward_accuracy']:.3f}")
        if not LENGTH[0] <= line["words_ratio"] <= LENGTH[1]:
            broken.append(f"{who}: responses are {line['words_ratio']:.2f} times as long as the data's")
        if line["distinct_2_ratio"] < DISTINCT_2:
            broken.append(f"{who}: distinct-2 is {line['distinct_2_ratio']:.2f} of the data's")
    for row in averaged(lines):
        if row["seeds"] >= SEEDS and row["spread"] > SPREAD:
            who = f"{row['column']}, {row['row']}"
            broken.append(f"{who}: its {row['seeds']} seeds spread by {row['spread']:.1f} points")
    return broken


def main() -> None:
    """Print the report; exit 1 where a bound is broken."""
    words = [word for word in sys.argv[1:] if word != "--seeds"]
    tables = [word for word in words if "=" not in word]
    plan = make_plan(parse_config([word for word in words if "=" in word]))
    chosen = [plan.table_named(table) for table in tables or DEFAULT_TABLES]
    cells = [
        (f"{table.name}, {cell['column']}", cell["row"], verdict)
        for table in chosen
        for cell in table.spec["cells"]
        for verdict in cell["verdict_ids"]
        if plan.node(verdict).spec["evaluation"] == "pairwise"
    ]
    lines = [{"column": column, "row": row, **measure(plan, plan.node(verdict))} for column, row, verdict in cells]
    shown = lines if "--seeds" in sys.argv else averaged(lines)
    sys.stdout.write(tabulate(shown, headers="keys", tablefmt="github", floatfmt=".3f") + "\n")
    if broken := broken_bounds(lines):
        sys.stdout.write("\n".join(["Broken:", *broken]) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    exit_on_user_error(main)
