"""How far two judges agree over the same pairs.

All percentages are over the pairs that the judge decided; the published verdicts decide all. Intervals are over
prompts: pairs that share one are no independent observations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prefrepro.stats.clusters import clustered_difference, clustered_mean
from prefrepro.stats.judging import Flags, position
from prefrepro.stats.paired import compare_scores
from prefrepro.studies.calibration.pairs import Pair

Shares = NDArray[np.float64]
Triple = tuple[float, float, float]


def shares_of(pairs: Sequence[Pair], verdicts: pd.DataFrame) -> Shares:
    """The candidate's share of each pair by `verdicts`, rows as in verdicts.csv, one or both orders of each pair.

    ½ where the orders disagree or one is a tie, NaN where one is invalid.
    """
    by_prompt = verdicts.assign(score=verdicts["score"].astype(float)).groupby("prompt_id")["score"]
    scores: Mapping[str, float] = by_prompt.agg(lambda of: of.mean() if of.notna().all() else math.nan).to_dict()
    return np.array([scores[pair.prompt_id] for pair in pairs])


def measure(pairs: Sequence[Pair], verdicts: pd.DataFrame) -> dict[str, Any]:
    """A row of calibration.csv: counts, agreement, κ, win rates, shift, length, position; None where undefined.

    A pair counts as tied where its orders disagree or one is a tie, as invalid where one is.
    """
    found = against(pairs, shares_of(pairs, verdicts))
    if not found["n"]:
        return found
    placed = verdicts.loc[verdicts["verdict"].isin(["win", "loss"])]
    groups = {pair.prompt_id: pair.group for pair in pairs}
    shown = [placed["verdict"] == "win", placed["order"] == "candidate_first", placed["prompt_id"].map(groups)]
    return {**found, **_position(*(column.to_numpy() for column in shown))}


def against(pairs: Sequence[Pair], shares: Shares) -> dict[str, Any]:
    """`measure` but for the judge's own position bias: what follows from the candidate's share of each pair."""
    decided = np.isin(shares, (0.0, 1.0))
    counts = {
        "n": int(decided.sum()),
        "n_tie": int((~decided & ~np.isnan(shares)).sum()),
        "n_invalid": int(np.isnan(shares).sum()),
    }
    if not decided.any():
        return counts
    kept = [pair for pair, is_decided in zip(pairs, decided, strict=True) if is_decided]
    won, published = shares[decided] == 1, np.array([pair.score > 0.5 for pair in kept])
    first, groups = (np.array([getattr(pair, key) for pair in kept]) for key in ("candidate_first", "group"))
    return {
        **counts,
        "n_prompts": len(np.unique(groups)),
        **_agreement(won, published, groups),
        **_shift(won, published),
        **_length(kept, won, published, groups),
        **{f"published_{name}": value for name, value in _position(published, first, groups).items()},
    }


def kappa(won: Flags, published: Flags, groups: NDArray[Any] | None = None) -> Triple | None:
    """Cohen's κ with its 95 % interval; None where both gave one and the same verdict throughout.

    κ = (agreement - chance) / (1 - chance). The interval has the ends of the agreement's and the chance as found: it
    keeps within -1 and 1, and 20 agreements of 20 do not make κ certain, as its usual standard error says.
    """
    mine, theirs = (float(flags.mean()) for flags in (won, published))
    by_chance = mine * theirs + (1 - mine) * (1 - theirs)
    if by_chance == 1:
        return None
    ends = clustered_mean(won == published, np.arange(len(won)) if groups is None else groups)
    value, low, high = ((share - by_chance) / (1 - by_chance) for share in ends)
    return value, max(-1.0, low), high


def _agreement(won: Flags, published: Flags, groups: NDArray[Any]) -> dict[str, float | None]:
    found = kappa(won, published, groups) or (None, None, None)
    return {
        **_with_ends("agreement", "agreement_pct", clustered_mean(won == published, groups)),
        **dict(zip(("kappa", "kappa_ci_low", "kappa_ci_high"), found, strict=True)),
    }


def _shift(won: Flags, published: Flags) -> dict[str, float]:
    """The judge's win rate less the published one, over the same pairs: Tango's interval and the exact McNemar p."""
    found = compare_scores(won[None].astype(np.float64), published[None].astype(np.float64))
    return {
        "win_rate_pct": 100 * float(won.mean()),
        "published_win_rate_pct": 100 * float(published.mean()),
        "shift_pp": 100 * found.value,
        "shift_ci_low": 100 * found.ci_low,
        "shift_ci_high": 100 * found.ci_high,
        "shift_p": found.p,
    }


def _length(pairs: Sequence[Pair], won: Flags, published: Flags, groups: NDArray[Any]) -> dict[str, float | None]:
    """How often the longer answer wins, here and in public, and the agreement above that of «the longer one».

    The longer one tosses a coin where both are as long.
    """
    longer = np.sign([len(pair.candidate) - len(pair.baseline) for pair in pairs])
    unequal = longer != 0
    over = clustered_difference(won == published, np.where(unequal, published == (longer > 0), 0.5), groups)
    found = _with_ends("over_longer", "over_longer_pp", over)
    if not unequal.any():
        return found
    mine, theirs = (flags[unequal] == (longer[unequal] > 0) for flags in (won, published))
    return {
        **found,
        **_with_ends("longer_won", "longer_won_pct", clustered_mean(mine, groups[unequal])),
        "published_longer_won_pct": 100 * float(theirs.mean()),
        **_with_ends("longer_shift", "longer_shift_pp", clustered_difference(mine, theirs, groups[unequal])),
    }


def _position(won: Flags, first: Flags, groups: NDArray[np.str_]) -> dict[str, float | None]:
    """Position bias over prompts (`stats.judging.position`), and the win rate in either place."""
    return {
        **position(won, first, groups),
        "win_when_first_pct": 100 * float(won[first].mean()) if first.any() else None,
        "win_when_second_pct": 100 * float(won[~first].mean()) if not first.all() else None,
    }


def _with_ends(prefix: str, name: str, found: Triple) -> dict[str, float | None]:
    """A share with its interval, in percent."""
    return {name: 100 * found[0], f"{prefix}_ci_low": 100 * found[1], f"{prefix}_ci_high": 100 * found[2]}
