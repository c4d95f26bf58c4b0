"""prefrepro explain, verify, diff and crate: what they print, and their exit codes."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrepro.cli.parser import add_command
from prefrepro.errors import UserError
from prefrepro.inspect.results import open_results

if TYPE_CHECKING:
    from prefrepro.inspect.diff import Compared, Moved
    from prefrepro.inspect.verify import Verified

DIFFERS = 1
"""Exit code of verify and diff where something does not fit, or has moved."""
CELLS_SHOWN = 8
EXPLAIN = """
  prefrepro explain rpo/table1/rpo-paired/win-rate
  prefrepro explain rpo/table1/rpo-paired             where the row has one column
  prefrepro explain rpo/table4/rpo-paired/hh-mistral-7b --scale pocket --json"""
VERIFY = """
  prefrepro verify                                    results/embedded
  prefrepro verify archive/results --without-models   weights may be missing"""
VERIFY_CODES = "exit codes: 0 everything fits, 1 something does not, 2 nothing could be verified"
DIFF = """
  prefrepro diff results/embedded ../other/results/embedded
  prefrepro diff results/paper archive/results --csv"""
DIFF_CODES = (
    "exit codes: 0 the same cells, none moved by more than noise (Holm-adjusted p < 0.05), 1 otherwise, 2 an error"
)
CRATE = """
  prefrepro crate results/embedded                    embedded-crate.zip
  prefrepro crate results/paper -o archive --models   a folder, with weights"""


def add_parsers(commands: Any) -> None:
    """Add the four to the subcommands of `prefrepro`."""
    explain = add_command(commands, "explain", "show a cell's whole chain, down to commit and data hash", EXPLAIN)
    explain.add_argument("cell", help="paper/table/row/column as in cells.csv")
    explain.add_argument("--scale", default="embedded", help="of results/<scale> (default: embedded)")
    explain.add_argument("--results", type=Path, metavar="DIR", help="another results folder")
    explain.add_argument("--json", action="store_true", help="everything known, as JSON")
    verify = add_command(
        commands, "verify", "make every hash and table anew, and say what no longer fits", VERIFY, VERIFY_CODES
    )
    verify.add_argument("results", nargs="?", type=Path, default=Path("results/embedded"), metavar="RESULTS")
    verify.add_argument("--without-models", action="store_true", help="files of models may be missing")
    verify.add_argument("--json", action="store_true", help="every finding as JSON")
    diff = add_command(commands, "diff", "compare two results folders: what moved, and is it noise", DIFF, DIFF_CODES)
    diff.add_argument("a", type=Path, metavar="RESULTS_A")
    diff.add_argument("b", type=Path, metavar="RESULTS_B")
    form = diff.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything as JSON")
    form.add_argument("--csv", action="store_true", help="one line per cell")
    crate = add_command(commands, "crate", "pack a results folder as an RO-Crate, for an archive", CRATE)
    crate.add_argument("results", type=Path, metavar="RESULTS")
    crate.add_argument("-o", "--out", type=Path, metavar="DIR|ZIP", help="default: <scale>-crate.zip")
    crate.add_argument("--models", action="store_true", help="weights and tokenizers too")


def run_explain(arguments: argparse.Namespace) -> None:
    """Print a cell's chain. Raises UserError for a cell that is not there."""
    from prefrepro.inspect.explain import explain
    from prefrepro.inspect.explain_text import as_text

    explained = explain(open_results(arguments.results or Path("results", arguments.scale)), arguments.cell)
    _out(_json(explained) if arguments.json else as_text(explained))


def run_verify(arguments: argparse.Namespace) -> None:
    """Print what does not fit; exits with DIFFERS where there is anything."""
    from prefrepro.inspect.verify import verify  # pandas: not needed for planning

    verified = verify(open_results(arguments.results), arguments.without_models)
    _out(_json(verified.as_json()) if arguments.json else _verified(verified))
    if not verified.is_whole:
        sys.exit(DIFFERS)


def _verified(verified: Verified) -> str:
    lines = []
    for finding in verified.findings:
        lines += [f"FAILS {finding.path}", f"      found    {finding.problem}"]
        if finding.cells:
            more = len(finding.cells) - CELLS_SHOWN
            tail = f" and {more} more (--json lists them)" if more > 0 else ""
            lines.append(f"      touches  {', '.join(finding.cells[:CELLS_SHOWN])}{tail}")
        else:
            lines.append("      touches  no cell")
        lines.append(f"      next     {finding.next_step}")
    said = "everything fits" if verified.is_whole else f"{len(verified.findings)} do not fit"
    counts = f"{verified.records} records, {verified.files} files ({verified.bytes / 1e6:.1f} MB)"
    lines.append(f"{counts}, {verified.tables} tables made anew: {said}.")
    if verified.unrecorded:
        lines.append(f"In no record, so nothing can be said of them: {', '.join(verified.unrecorded)}.")
    return "\n".join(lines) + "\n"


def run_diff(arguments: argparse.Namespace) -> None:
    """Print what moved; exits with DIFFERS where more than noise did, or a side has cells of its own."""
    from prefrepro.inspect.diff import diff  # pandas: not needed for planning

    compared = diff(open_results(arguments.a), open_results(arguments.b))
    text = _json(compared.as_json()) if arguments.json else _csv(compared) if arguments.csv else _compared(compared)
    _out(text)
    if not compared.is_same:
        sys.exit(DIFFERS)


def _compared(compared: Compared) -> str:
    from tabulate import tabulate

    lines = [f"A {compared.a}", f"B {compared.b}", ""]
    if compared.cells:
        head = ["cell", "A", "B", "B − A", "95 %", "p (Holm)", "test", "n", ""]
        lines += [tabulate([_row(cell) for cell in compared.cells], head, disable_numparse=True), ""]
    for side, names in (("A", compared.only_a), ("B", compared.only_b)):
        lines += [f"only in {side}: {', '.join(names)}"] if names else []
    for setting, (a, b) in compared.settings.items():
        lines.append(f"{setting} differs: A {_values(a)}; B {_values(b)}")
    moved = len(compared.moved)
    lines.append(f"{len(compared.cells)} cells compared, {moved} moved by more than noise.")
    return "\n".join(lines) + "\n"


def _row(cell: Moved) -> list[str]:
    interval = "" if cell.ci_low is None or cell.ci_high is None else f"[{cell.ci_low:+.2f}, {cell.ci_high:+.2f}]"
    word = "moved" if cell.is_significant else "not run" if cell.delta is None else ""
    numbers = [f"{value:.2f}" if value is not None else "–" for value in (cell.a, cell.b)]
    delta = "–" if cell.delta is None else f"{cell.delta:+.2f}"
    p = "" if cell.p_holm is None else f"{cell.p_holm:.4f}"
    return [cell.address, *numbers, delta, interval, p, cell.method, str(cell.n), word]


def _values(values: list[Any]) -> str:
    return ", ".join(str(value)[:12] if len(str(value)) == 40 else str(value) for value in values) or "none"


def _csv(compared: Compared) -> str:
    head = ["paper", "table", "row", "column", "metric", "side", "a", "b", "delta", "tested", "ci_low", "ci_high"]
    head += ["p", "p_holm", "is_significant", "method", "n", "differs"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    for cell in compared.cells:
        numbers = [cell.a, cell.b, cell.delta, cell.tested, cell.ci_low, cell.ci_high, cell.p, cell.p_holm]
        significant = str(cell.is_significant).lower()
        end = [significant, cell.method, cell.n, " ".join(cell.differs)]
        writer.writerow([*cell.address.split("/"), cell.metric, "both", *numbers, *end])
    for side, names in (("a", compared.only_a), ("b", compared.only_b)):
        for name in names:
            writer.writerow([*name.split("/"), "", side, *[""] * (len(head) - 6)])
    return buffer.getvalue()


def run_crate(arguments: argparse.Namespace) -> None:
    """Write the crate. Raises UserError."""
    try:
        from prefrepro.inspect.crate import write_crate  # rocrate: needed for nothing else
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; make this environment again: make .venv") from error
    results = open_results(arguments.results)
    out = arguments.out or Path(f"{results.path.resolve().name}-crate.zip")
    crated = write_crate(results, out, arguments.models)
    left = f"; {crated.left_out} files of models left out (--models takes them)" if crated.left_out else ""
    _out(f"{crated.path}: {crated.files} files, {crated.bytes / 1e6:.1f} MB{left}\n")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _out(text: str) -> None:
    sys.stdout.write(text)
