"""By how much a win rate moves under another judge, and from which difference on the order of two is safe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from prefrepro.stats.intervals import ALPHA
from prefrepro.stats.paired import compare_scores
from prefrepro.studies.calibration.measure import Shares
from prefrepro.studies.calibration.pairs import PublishedSet
from prefrepro.studies.calibration.published import LEADERBOARD

FEWEST = 3
"""Candidates that a family needs, for its shifts to have a spread."""


class Safe(NamedTuple):
    """What one judge does to the order of a family's candidates."""

    family: str
    judge: str
    other: str
    n: int
    """Candidates"""
    mean_shift_pp: float
    spread_pp: float
    """Standard deviation of the shifts, the noise of single verdicts included"""
    safe_pp: float
    """A difference of two win rates by this judge that is larger has the same sign by the other, in 95 %."""
    swapped: int
    """Pairs of candidates that the two judges order otherwise"""
    pairs: int
    largest_swapped_pp: float
    """Largest difference by this judge among them; 0 where there is none"""


def cells(published: PublishedSet, judge: str, shares: Shares, printed: dict[str, float]) -> list[dict[str, Any]]:
    """A row of calibration_cells.csv for each candidate of a set whose answers have names, without invalid pairs."""
    frame = pd.DataFrame([pair._asdict() for pair in published.pairs]).assign(mine=shares)
    named = frame.loc[(frame["candidate_name"] != "") & frame["mine"].notna()]
    rows = []
    for (candidate, baseline), cell in named.groupby(["candidate_name", "baseline_name"]):
        theirs = (cell["score"] > 0.5).to_numpy(dtype=np.float64)
        found = compare_scores(cell["mine"].to_numpy(dtype=np.float64)[None], theirs[None]) if len(cell) > 1 else None
        rows += [] if found is None else [
            {
                "published_set": published.name,
                "candidate": candidate,
                "baseline": baseline,
                "judge": judge,
                "other": published.judge,
                "n": len(cell),
                "win_rate_pct": 100 * float(cell["mine"].mean()),
                "other_win_rate_pct": 100 * float(theirs.mean()),
                "printed_pct": printed.get(str(candidate)) if published.name.startswith("alpaca_eval2/") else None,
                "shift_pp": 100 * found.value,
                "shift_ci_low": 100 * found.ci_low,
                "shift_ci_high": 100 * found.ci_high,
                "shift_p": found.p,
            }
        ]  # fmt: skip
    return rows


def printed_rates(folder: Path) -> dict[str, float]:
    """Model -> AlpacaEval's discrete win rate as upstream's leaderboard has it; {} where the file is not there."""
    path = folder / LEADERBOARD
    if not path.is_file():
        return {}
    frame = pd.read_csv(path, index_col=0)
    return dict(zip(map(str, frame.index), frame["discrete_win_rate"].astype(float).tolist(), strict=True))


def safe_differences(rows: Iterable[dict[str, Any]]) -> list[Safe]:
    """For each family and judge with three candidates or more: how far two of them can be apart and change places.

    The shift of a candidate is taken for a draw of a normal distribution: two candidates' shifts differ by less than
    t(k - 1) · s · √2 in 95 %, with s over k candidates.
    """
    families: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        family = row["published_set"].partition("/")[0]
        families.setdefault((family, row["judge"], row["other"]), []).append(row)
    return [_safe(key, own) for key, own in families.items() if len(own) >= FEWEST]


def _safe(key: tuple[str, str, str], rows: Sequence[dict[str, Any]]) -> Safe:
    mine, theirs = (np.array([row[name] for row in rows]) for name in ("win_rate_pct", "other_win_rate_pct"))
    shifts = mine - theirs
    spread = float(shifts.std(ddof=1))
    bound = float(student.ppf(1 - ALPHA / 2, len(rows) - 1)) * spread * 2**0.5
    first, second = np.triu_indices(len(rows), 1)
    own, other = mine[first] - mine[second], theirs[first] - theirs[second]
    swapped = own * other < 0
    largest = float(np.abs(own[swapped]).max()) if swapped.any() else 0.0
    return Safe(*key, len(rows), float(shifts.mean()), spread, bound, int(swapped.sum()), len(own), largest)
