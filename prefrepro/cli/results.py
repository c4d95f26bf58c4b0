"""prefrepro verify and diff: does a results folder still fit together, and what moved between two of them."""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from prefrepro.cli.parser import parse_config, results_folder, tell
from prefrepro.inspect import diff as two
from prefrepro.inspect import verify as one
from prefrepro.inspect.results import Results, open_results
from prefrepro.specs.config import make_config
from prefrepro.specs.variant import variant_of

NUMBERS = ["a", "b", "delta", "tested", "ci_low", "ci_high", "p", "p_holm"]


def verify(arguments: argparse.Namespace) -> None:
    """Print what does not fit; exit with 1 where there is anything. Raises UserError."""
    verified = one.verify(open_results(results_folder(arguments.words)), arguments.without_models)
    tell(arguments.json, verified.as_json(), "verify")
    if not verified.is_whole:
        sys.exit(1)


def diff(arguments: argparse.Namespace) -> None:
    """Print what moved; exit with 1 where more than noise did, or a side has cells of its own. Raises UserError."""
    (a, first), (b, second) = _side(arguments.a), _side(arguments.b)
    compared = two.diff(a, b, (first, second)).as_json()
    if arguments.csv:
        _write_csv(compared)
    else:
        head = ["cell", "A", "B", "B − A", "95 %", "p (Holm)", "test", "n", ""]
        table = tabulate([_row(cell) for cell in compared["cells"]], head, disable_numparse=True)
        tell(arguments.json, compared, "diff", table=table, shown=_values)
    if not compared["is_same"]:
        sys.exit(1)


def _side(word: str) -> tuple[Results, str]:
    """Results and variant of RESULTS, "KEY=VALUE …" or "RESULTS@KEY=VALUE …". Raises UserError."""
    folder, _, settings = word.rpartition("@") if "@" in word or "=" in word else (word, "", "")
    config = make_config(parse_config(shlex.split(settings)))
    return open_results(Path(folder) if folder else Path("results", config.scale)), variant_of(config)


def _row(cell: dict[str, Any]) -> list[str]:
    has_interval = cell["ci_low"] is not None and cell["ci_high"] is not None
    interval = f"[{cell['ci_low']:+.2f}, {cell['ci_high']:+.2f}]" if has_interval else ""
    word = "moved" if cell["is_significant"] else "not run" if cell["delta"] is None else ""
    numbers = [f"{value:.2f}" if value is not None else "–" for value in (cell["a"], cell["b"])]
    delta = "–" if cell["delta"] is None else f"{cell['delta']:+.2f}"
    p = "" if cell["p_holm"] is None else f"{cell['p_holm']:.4f}"
    return [cell["address"], *numbers, delta, interval, p, cell["method"], str(cell["n"]), word]


def _values(values: list[Any]) -> str:
    return ", ".join(str(value)[:12] if len(str(value)) == 40 else str(value) for value in values) or "none"


def _write_csv(compared: dict[str, Any]) -> None:
    """One line for each cell of both sides, then those of one side, which have an address and no numbers."""
    place = ["paper", "table", "row", "column"]
    head = [*place, "metric", "side", *NUMBERS, "is_significant", "method", "n", "differs"]
    writer = csv.DictWriter(sys.stdout, head, lineterminator="\n")
    writer.writeheader()
    for cell in compared["cells"]:
        values = {name: cell[name] for name in ("metric", *NUMBERS, "method", "n")}
        values |= {"is_significant": str(cell["is_significant"]).lower(), "differs": " ".join(cell["differs"])}
        writer.writerow(dict(zip(place, cell["address"].split("/"), strict=True)) | values | {"side": "both"})
    for side in ("a", "b"):
        for name in compared[f"only_{side}"]:
            writer.writerow(dict(zip(place, name.split("/"), strict=True)) | {"side": side})
