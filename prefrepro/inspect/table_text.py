"""A finished table for a terminal, made of its Markdown: a block for each column, which fits any width."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefrepro.inspect.report.markdown import blocks
from prefrepro.tables.render import SWITCH_HEAD
from prefrepro.tables.view import TRAININGS_DIFFER

PARTS = re.compile(
    r"(.*?)(?:; printed (\d.*?))?(?:; vs baseline ([+-].*?)"
    rf"(?:, {TRAININGS_DIFFER}; no evidence about methods if trainings spread by (.*?) or more)?)?(?:; n (\d.*))?",
    re.DOTALL,
)
"""The parts of tables/view.py's View.inline"""
HEADS = ("printed", "vs baseline", "trainings\ndiffer, if\nspread below", "n")


def as_text(markdown: str, width: int, touching: Collection[str] | None, more: str) -> str:
    """The table in `width` columns. Of the switches the names in `touching` and their sides, and that `more` tells
    what each decides; where that is None, everything about all of them."""
    console = Console(width=width, highlight=False, markup=False, no_color=True)
    with console.capture() as written:
        for block in blocks(markdown):
            if block["kind"] != "table":
                console.print(block["text"])
            elif block["head"] != SWITCH_HEAD:
                for place, label in enumerate(block["head"][1:], start=1):
                    console.print("", _column(label, [(row[0], row[place]) for row in block["rows"]]), sep="\n")
            elif touching is None:
                console.print("", _grid(SWITCH_HEAD, block["rows"]), sep="\n")
            else:
                told: dict[str, list[str]] = {}
                for name, _, side, _ in (row for row in block["rows"] if row[0] in touching):
                    told.setdefault(side, []).append(name)
                listed = "; ".join(f"on side {side} {', '.join(names)}" for side, names in told.items()) or "none"
                console.print(f"\nSwitches that change this table: {listed}. All {len(block['rows'])}: {more}")
    return "".join(f"{line.rstrip()}\n" for line in written.get().splitlines())


def _column(label: str, cells: Sequence[tuple[str, str]]) -> Table:
    """One column of the table, each part of its cells in a column of its own; parts that no cell has are left out."""
    matches = [(row_label, PARTS.fullmatch(cell)) for row_label, cell in cells]
    rows = [[row_label, *(part or "" for part in found.groups())] for row_label, found in matches if found]
    shown = [place for place in range(len(HEADS) + 2) if place < 2 or any(row[place] for row in rows)]
    return _grid([["", label, *HEADS][place] for place in shown], [[row[place] for place in shown] for row in rows])


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for label in head:
        grid.add_column(Text(label))
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid
