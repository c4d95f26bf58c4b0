"""`make readme`: put RPO's Table 1, as it was just made, into README.md, without the paper's numbers.

Printed numbers do not belong beside those of a generated world, so this table has ours alone.
"""

from __future__ import annotations

import sys

import pandas as pd

from prefrepro.csv_schema.schema import read_csv
from prefrepro.files import ROOT
from prefrepro.specs.table import read_table

START, END = "<!-- table1", "<!-- end -->"


def main() -> None:
    readme = ROOT / "README.md"
    table = readme_table(read_csv(ROOT / "results" / "embedded" / "cells.csv", "cells"))
    before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    note, _, rest = rest.partition("-->\n")
    _, end, after = rest.partition(END)
    if not (start and end):
        sys.exit(f"README.md has no «{START} … -->» with «{END}» after it. Put both where the table belongs.")
    readme.write_text(f"{before}{START}{note}-->\n\n{table}\n\n{END}{after}", encoding="utf-8")


def readme_table(cells: pd.DataFrame) -> str:
    """Markdown of rpo/table1. `cells`: rows of cells.csv."""
    cells = cells[(cells["paper"] == "rpo") & (cells["table"] == "table1")].set_index("row")
    rows = [
        f"| {row.label} | {_interval(cells.loc[row.key], 'value', 'ci_low', 'ci_high')} "
        f"| {_interval(cells.loc[row.key], 'diff', 'diff_low', 'diff_high', '+')} |"
        for row in read_table(ROOT / "paper_tables" / "rpo" / "table1.yaml").rows
        if row.key in cells.index
    ]
    seeds, n = int(cells["n_seeds"].iloc[0]), int(cells["n"].iloc[0])
    trainings = "one training a method" if seeds == 1 else f"{seeds} trainings a method"
    head = "| method | win rate, % [95 % interval] | difference from DPO, points [95 % interval] |"
    said = f"Scale `embedded`, {trainings}, {n} prompts, made by `make readme`."
    return "\n".join([said, "", head, "|---|---|---|", *rows])


def _interval(cell: pd.Series, value: str, low: str, high: str, sign: str = "") -> str:
    if pd.isna(cell[value]):
        return "–"
    said = f"{cell[value]:{sign}.1f} [{cell[low]:{sign}.1f}, {cell[high]:{sign}.1f}]"
    return said.replace("-", "−")


if __name__ == "__main__":
    main()
