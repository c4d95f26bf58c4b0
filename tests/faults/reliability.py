"""`python reliability.py FIGURES [COMMIT]`: prints the table of the fault suite and puts it into docs/reliability.md.

FIGURES are the JSON lines that the suite's tests told (conftest.py). Only the table, date and commit are written: the
promises are written by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
COUNTS = ("injected", "recovered", "refused", "lost", "wrong", "unbooked", "seconds")
HEADER = (
    "| fault | injected | recovered | refused | lost | wrong | paid, not booked (tokens) | seconds | test |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|---|\n"
)


def table(lines: list[str]) -> str:
    """One row a fault, in the order in which they were first told; counts of one fault are added up."""
    rows: dict[str, dict[str, float]] = {}
    tests: dict[str, str] = {}
    for line in lines:
        told = json.loads(line)
        row = rows.setdefault(told["fault"], dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            row[name] += told.get(name, 0)
        tests[told["fault"]] = told["test"].rpartition("::")[2].partition("[")[0]
    total = {name: sum(row[name] for row in rows.values()) for name in COUNTS}
    body = "".join(_row(fault, row, f"`{tests[fault]}`") for fault, row in rows.items())
    return HEADER + body + _row("**all**", total, "")


def _row(fault: str, row: dict[str, float], test: str) -> str:
    return f"| {fault} | " + " | ".join(f"{row[name]:.0f}" for name in COUNTS) + f" | {test} |\n"


def commit() -> str:
    """Short hash of what was run."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Command line."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    run_on = sys.argv[2] if len(sys.argv) > 2 else commit()
    head = f"Run on {datetime.now(UTC):%Y-%m-%d}, commit {run_on}.\n\n"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = table(lines)
    PAGE.write_text(f"{before}{BEGIN}{head}{made}{END}{after}", encoding="utf-8")
    sys.stdout.write(made)


if __name__ == "__main__":
    main()
