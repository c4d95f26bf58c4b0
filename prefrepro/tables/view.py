"""One cell as text, two decimals, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prefrepro.stats.clusters import NOTABLE
from prefrepro.stats.intervals import ALPHA
from prefrepro.stats.paired import ONE_SEED, spread_limit

MARK = "†"
TRAININGS_DIFFER = "these two trainings differ"


@dataclass(frozen=True, slots=True)
class View:
    """A part that does not apply is empty."""

    value: str
    """Our number with its mark, or `not run`."""
    interval: str
    printed: str
    counts: str
    difference: str = ""
    """From the baseline row."""

    def small(self) -> list[str]:
        """The parts that stand beside or below the value."""
        printed = f"printed {self.printed}" if self.printed else ""
        against = f"vs baseline {self.difference}" if self.difference else ""
        return [text for text in (self.interval, printed, against, self.counts) if text]

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
    printed = "" if reported is None else f"{reported:.2f}{_told(cell)}"
    counts = f"n {cell['n']}" + (f" × {cell['n_seeds']} seeds" if cell["n_seeds"] > 1 else "")
    counts += f", invalid {cell['n_invalid']}" if cell["n_invalid"] else ""
    if cell["status"] == "not_run":
        return View("not run", "", printed, counts if cell["n"] else "")
    differs = p_holm is not None and p_holm < ALPHA
    is_one = cell["diff_method"] in ONE_SEED
    mark = MARK if differs and not is_one else ""
    return View(
        f"{cell['value']:.2f}{mark}",
        f"[{cell['ci_low']:.2f}, {cell['ci_high']:.2f}]",
        printed,
        counts,
        _difference(cell, differs and is_one),
    )


def clustered(cells: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """A sentence for the legend, where prompts of one topic or source are so alike that their design effect counts."""
    said = []
    for column, label in labels.items():
        known = [cell for cell in cells if cell["column"] == column and number(cell["design_effect"]) is not None]
        effects = sorted(effect for cell in known if (effect := float(cell["design_effect"])) > NOTABLE)
        if effects:
            ends = dict.fromkeys(f"{end:.1f}" for end in (effects[0], effects[-1]))
            said.append(f"{label} {' to '.join(ends)} ({int(known[0]['n_clusters'])} clusters, {len(effects)} rows)")
    if not said:
        return ""
    return (
        f" Design effect of clustering prompts by topic or source: {'; '.join(said)}. The intervals are over prompts: "
        "they hold for other prompts of the same topics. For other topics they would be √(design effect) times as wide."
    )


def _told(cell: Mapping[str, Any]) -> str:
    """Beside a printed number that ours is held against: whether it is consistent with it, and ours less it."""
    if cell["status"] not in ("consistent", "differs"):
        return ""
    return f" ({cell['status']}: {cell['delta']:+.2f} [{cell['delta_low']:+.2f}, {cell['delta_high']:+.2f}])"


def _difference(cell: Mapping[str, Any], trainings_differ: bool) -> str:
    """Ours less the baseline's with its interval; of one seed each, words about these trainings in place of a mark."""
    diff, low, high = (number(cell[key]) for key in ("diff", "diff_low", "diff_high"))
    if diff is None or low is None or high is None:
        return ""
    text = f"{diff:+.2f} [{low:+.2f}, {high:+.2f}]"
    if not trainings_differ:
        return text
    limit = spread_limit(diff, low, high)
    return f"{text}, {TRAININGS_DIFFER}; no evidence about methods if trainings spread by {limit:.1f} or more"
