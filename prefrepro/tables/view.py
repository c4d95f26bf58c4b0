"""One cell as text, two decimals. Knows nothing of the format it goes into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prefrepro.stats.intervals import ALPHA

MARK = "†"


@dataclass(frozen=True, slots=True)
class View:
    """A part that does not apply is empty."""

    value: str
    """Our number with its mark, or `not run`."""
    interval: str
    printed: str
    counts: str

    def small(self) -> list[str]:
        """The parts that stand beside or below the value."""
        return [
            text for text in (self.interval, f"printed {self.printed}" if self.printed else "", self.counts) if text
        ]

    def inline(self) -> str:
        """All parts in one line."""
        ours = f"{self.value} {self.interval}".rstrip()
        return "; ".join(filter(None, [ours, *self.small()[bool(self.interval) :]]))


def number(value: Any) -> float | None:
    """A field of a frame, where missing may be None, NaN or NA."""
    return None if pd.isna(value) else float(value)


def view(cell: Mapping[str, Any]) -> View:
    """Text of one row of cells.csv that also has `p_holm`, its p value adjusted over the table."""
    reported, p_holm = number(cell["reported"]), number(cell["p_holm"])
    printed = "" if reported is None else f"{reported:.2f}{' (outside)' if cell['status'] == 'outside' else ''}"
    counts = f"n {cell['n']}"
    counts += f", invalid {cell['n_invalid']}" if cell["n_invalid"] else ""
    counts += f", seeds {cell['n_seeds']}" if cell["n_seeds"] > 1 else ""
    if cell["status"] == "not_run":
        return View("not run", "", printed, counts if cell["n"] else "")
    mark = MARK if p_holm is not None and p_holm < ALPHA else ""
    return View(f"{cell['value']:.2f}{mark}", f"[{cell['ci_low']:.2f}, {cell['ci_high']:.2f}]", printed, counts)
