"""prefrepro explain: show a cell's whole chain, down to commit and data hash."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefrepro.cli.parser import write_json

EXAMPLES = """
prefrepro explain rpo/table1/rpo-paired/win-rate
prefrepro explain rpo/table1/rpo-paired             where the row has one column
prefrepro explain rpo/table4/rpo-paired/hh-mistral-7b --scale pocket --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("cell", help="paper/table/row/column as in cells.csv")
    parser.add_argument("--scale", default="embedded", help="of results/<scale> (default: embedded)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="another results folder")
    parser.add_argument("--json", action="store_true", help="everything known, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print a cell's chain. Raises UserError for a cell that is not there."""
    from prefrepro.inspect.explain import explain
    from prefrepro.inspect.explain_text import as_text
    from prefrepro.inspect.results import open_results

    explained = explain(open_results(arguments.results or Path("results", arguments.scale)), arguments.cell)
    if arguments.json:
        write_json(explained)
    else:
        sys.stdout.write(as_text(explained))
