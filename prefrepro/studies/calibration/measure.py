"""How far two judges agree over the same pairs.

All percentages are over the pairs that the judge decided; the published verdicts decide all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import cohens_kappa

from prefrepro.stats.intervals import wilson
from prefrepro.stats.paired import compare_scores
from prefrepro.studies.calibration.published import Pair

Flags = NDArray[np.bool_]


def measure(pairs: Sequence[Pair], verdicts: pd.DataFrame) -> dict[str, Any]:
    """A row of calibration.csv: counts, agreement, kappa, win rates and their shift, position; None where undefined.

    `verdicts` are rows as in verdicts.csv, one or both orders of each pair. A pair counts as tied where its orders
    disagree or one is a tie, as invalid where one is.
    """
    by_prompt = verdicts.assign(score=verdicts["score"].astype(float)).groupby("prompt_id")["score"]
    scores: Mapping[str, float] = by_prompt.agg(lambda of: of.mean() if of.notna().all() else math.nan).to_dict()
    mine = np.array([scores[pair.prompt_id] for pair in pairs])
    decided = np.isin(mine, (0.0, 1.0))
    counts = {
        "n": int(decided.sum()),
        "n_tie": int((~decided & ~np.isnan(mine)).sum()),
        "n_invalid": int(np.isnan(mine).sum()),
    }
    if not decided.any():
        return counts
    kept = [pair for pair, is_decided in zip(pairs, decided, strict=True) if is_decided]
    won, published = mine[decided] == 1, np.array([pair.score > 0.5 for pair in kept])
    first = np.array([pair.candidate_first for pair in kept])
    return {
        **counts,
        **_agreement(won, published),
        **_shift(won, published),
        **{f"published_{name}": value for name, value in _position(published, first).items()},
        **(_position(won, first) if not verdicts["prompt_id"].duplicated().any() else {}),
    }


def _agreement(won: Flags, published: Flags) -> dict[str, float | None]:
    same = int((won == published).sum())
    low, high, _ = wilson(same, len(won))
    table = pd.crosstab(won, published).reindex(index=[False, True], columns=[False, True], fill_value=0)
    kappa = cohens_kappa(table.to_numpy()) if 0 < won.sum() + published.sum() < 2 * len(won) else None
    return {
        "agreement_pct": 100 * same / len(won),
        "agreement_ci_low": 100 * low,
        "agreement_ci_high": 100 * high,
        "kappa": None if kappa is None else float(kappa["kappa"]),
        "kappa_ci_low": None if kappa is None else float(kappa["kappa_low"]),
        "kappa_ci_high": None if kappa is None else float(kappa["kappa_upp"]),
    }


def _shift(won: Flags, published: Flags) -> dict[str, float]:
    """The judge's win rate less the published one; the interval resamples pairs, both verdicts with them."""
    found = compare_scores(won[None].astype(np.float64), published[None].astype(np.float64))
    return {
        "win_rate_pct": 100 * float(won.mean()),
        "published_win_rate_pct": 100 * float(published.mean()),
        "shift_pp": 100 * found.value,
        "shift_ci_low": 100 * found.ci_low,
        "shift_ci_high": 100 * found.ci_high,
        "shift_p": found.p,
    }


def _position(won: Flags, first: Flags) -> dict[str, float | None]:
    """Share of verdicts for the answer shown first (50 is no bias), and the win rate in either place."""
    low, high, _ = wilson(int((won == first).sum()), len(won))
    return {
        "first_shown_pct": 100 * float((won == first).mean()),
        "first_shown_ci_low": 100 * low,
        "first_shown_ci_high": 100 * high,
        "win_when_first_pct": 100 * float(won[first].mean()) if first.any() else None,
        "win_when_second_pct": 100 * float(won[~first].mean()) if not first.all() else None,
    }
