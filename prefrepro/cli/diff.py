"""prefrepro diff: compare two results folders: what moved, and is it noise."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrepro.cli.parser import write_json

if TYPE_CHECKING:
    from prefrepro.inspect.diff import Compared, Moved

EXAMPLES = """
prefrepro diff results/embedded ../other/results/embedded
prefrepro diff results/paper archive/results --csv
"""
MORE = "exit codes: 0 the same cells, none moved by more than noise (Holm-adjusted p < 0.05), 1 otherwise, 2 an error"
NUMBERS = ["a", "b", "delta", "tested", "ci_low", "ci_high", "p", "p_holm"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("a", type=Path, metavar="RESULTS_A")
    parser.add_argument("b", type=Path, metavar="RESULTS_B")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything as JSON")
    form.add_argument("--csv", action="store_true", help="one line per cell")


def run(arguments: argparse.Namespace) -> None:
    """Print what moved; exit with 1 where more than noise did, or a side has cells of its own. Raises UserError."""
    from prefrepro.inspect.diff import diff  # pandas: not needed for a help page
    from prefrepro.inspect.results import open_results

    compared = diff(open_results(arguments.a), open_results(arguments.b))
    if arguments.json:
        write_json(compared.as_json())
    elif arguments.csv:
        _write_csv(compared)
    else:
        _print(compared)
    if not compared.is_same:
        sys.exit(1)


def _print(compared: Compared) -> None:
    from tabulate import tabulate

    print(f"A {compared.a}\nB {compared.b}\n")
    if compared.cells:
        head = ["cell", "A", "B", "B − A", "95 %", "p (Holm)", "test", "n", ""]
        print(tabulate([_row(cell) for cell in compared.cells], head, disable_numparse=True) + "\n")
    for side, names in (("A", compared.only_a), ("B", compared.only_b)):
        if names:
            print(f"only in {side}: {', '.join(names)}")
    for setting, (a, b) in compared.settings.items():
        print(f"{setting} differs: A {_values(a)}; B {_values(b)}")
    print(f"{len(compared.cells)} cells compared, {len(compared.moved)} moved by more than noise.")


def _row(cell: Moved) -> list[str]:
    interval = "" if cell.ci_low is None or cell.ci_high is None else f"[{cell.ci_low:+.2f}, {cell.ci_high:+.2f}]"
    word = "moved" if cell.is_significant else "not run" if cell.delta is None else ""
    numbers = [f"{value:.2f}" if value is not None else "–" for value in (cell.a, cell.b)]
    delta = "–" if cell.delta is None else f"{cell.delta:+.2f}"
    p = "" if cell.p_holm is None else f"{cell.p_holm:.4f}"
    return [cell.address, *numbers, delta, interval, p, cell.method, str(cell.n), word]


def _values(values: list[Any]) -> str:
    return ", ".join(str(value)[:12] if len(str(value)) == 40 else str(value) for value in values) or "none"


def _write_csv(compared: Compared) -> None:
    """One line for each cell of both sides, then those of one side, which have an address and no numbers."""
    place = ["paper", "table", "row", "column"]
    head = [*place, "metric", "side", *NUMBERS, "is_significant", "method", "n", "differs"]
    writer = csv.DictWriter(sys.stdout, head, lineterminator="\n")
    writer.writeheader()
    for cell in compared.cells:
        values = {name: getattr(cell, name) for name in ("metric", *NUMBERS, "method", "n")}
        values |= {"is_significant": str(cell.is_significant).lower(), "differs": " ".join(cell.differs)}
        writer.writerow(dict(zip(place, cell.address.split("/"), strict=True)) | values | {"side": "both"})
    for side, names in (("a", compared.only_a), ("b", compared.only_b)):
        for name in names:
            writer.writerow(dict(zip(place, name.split("/"), strict=True)) | {"side": side})
