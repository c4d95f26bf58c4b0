"""prefrepro verify: recompute every hash and table, and list what no longer fits."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prefrepro.cli.parser import write_json

if TYPE_CHECKING:
    from prefrepro.inspect.verify import Verified

EXAMPLES = """
prefrepro verify                                    results/embedded
prefrepro verify archive/results --without-models   weights may be missing
"""
MORE = "exit codes: 0 everything fits, 1 something does not, 2 nothing could be verified"
CELLS_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    default = Path("results/embedded")
    parser.add_argument("results", nargs="?", type=Path, default=default, metavar="RESULTS")
    parser.add_argument("--without-models", action="store_true", help="files of models may be missing")
    parser.add_argument("--json", action="store_true", help="every finding as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print what does not fit; exit with 1 where there is anything. Raises UserError."""
    from prefrepro.inspect.results import open_results
    from prefrepro.inspect.verify import verify  # pandas: not needed for a help page

    verified = verify(open_results(arguments.results), arguments.without_models)
    if arguments.json:
        write_json(verified.as_json())
    else:
        _print(verified)
    if not verified.is_whole:
        sys.exit(1)


def _print(verified: Verified) -> None:
    for finding in verified.findings:
        more = len(finding.cells) - CELLS_SHOWN
        touched = ", ".join(finding.cells[:CELLS_SHOWN]) or "no cell"
        print(f"FAILS {finding.path}\n      found    {finding.problem}")
        print(f"      touches  {touched}{f' and {more} more (--json lists them)' if more > 0 else ''}")
        print(f"      next     {finding.next_step}")
    outcome = "everything fits" if verified.is_whole else f"{len(verified.findings)} do not fit"
    counts = f"{verified.records} records, {verified.files} files ({verified.bytes / 1e6:.1f} MB)"
    print(f"{counts}, {verified.tables} tables recomputed: {outcome}.")
    if verified.unrecorded:
        print(f"Not verified, because no record covers them: {', '.join(verified.unrecorded)}.")
