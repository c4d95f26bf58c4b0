"""`make readme`: put RPO's Table 1, as it was just made, into README.md, without the paper's numbers.

Printed numbers do not belong beside those of a generated world, so this table has ours alone.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import read_csv
from prefrepro.files import ROOT
from prefrepro.specs.table import read_table
from prefrepro.specs.variant import DEFAULT

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
    variant = "seeds=3" if "seeds=3" in set(cells["variant"]) else DEFAULT
    place = "rpo", "table1", variant
    ours = [c for c in cells.to_dict("records") if (c["paper"], c["table"], c["variant"]) == place]
    found: dict[str, dict[str, Any]] = {cell["row"]: cell for cell in ours}
    rows = [
        f"| {row.label} | {_interval(found[row.key], 'value', 'ci_low', 'ci_high')} "
        f"| {_interval(found[row.key], 'diff', 'diff_low', 'diff_high', '+')} |"
        for row in read_table(ROOT / "paper_tables" / "rpo" / "table1.yaml").rows
        if row.key in found
    ]
    seeds, n = (int(ours[0][column]) for column in ("n_seeds", "n"))
    trainings = "one training a method" if seeds == 1 else f"{seeds} trainings a method"
    head = "| method | win rate, % [95 % interval] | difference from DPO, points [95 % interval] |"
    said = f"Scale `embedded`, {trainings}, {n} prompts, made by `make readme`."
    return "\n".join([said, "", head, "|---|---|---|", *rows])


def _interval(cell: dict[str, Any], value: str, low: str, high: str, sign: str = "") -> str:
    if math.isnan(cell[value]):
        return "–"
    said = f"{cell[value]:{sign}.1f} [{cell[low]:{sign}.1f}, {cell[high]:{sign}.1f}]"
    return said.replace("-", "−")


if __name__ == "__main__":
    main()
