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

from prefrepro.stats.intervals import wilson
from prefrepro.stats.judging import Flags, position
from prefrepro.stats.paired import compare_scores
from prefrepro.studies.calibration.published import Pair


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
    first, prompts = (np.array([getattr(pair, key) for pair in kept]) for key in ("candidate_first", "prompt_id"))
    return {
        **counts,
        **_agreement(won, published),
        **_shift(won, published),
        **{f"published_{name}": value for name, value in _position(published, first, prompts).items()},
        **(_position(won, first, prompts) if not verdicts["prompt_id"].duplicated().any() else {}),
    }


def kappa(won: Flags, published: Flags) -> tuple[float, float, float] | None:
    """Cohen's κ with its 95 % interval; None where both gave one and the same verdict throughout.

    κ = (agreement - chance) / (1 - chance). The interval has Wilson's ends for the agreement and the chance as found:
    it keeps within -1 and 1, and 20 agreements of 20 do not make κ certain, as its usual standard error says.
    """
    agreed, mine, theirs = (float(flags.mean()) for flags in (won == published, won, published))
    by_chance = mine * theirs + (1 - mine) * (1 - theirs)
    if by_chance == 1:
        return None
    low, high, _ = wilson(int((won == published).sum()), len(won))
    value, low, high = ((share - by_chance) / (1 - by_chance) for share in (agreed, low, high))
    return value, max(-1.0, low), high


def _agreement(won: Flags, published: Flags) -> dict[str, float | None]:
    same = int((won == published).sum())
    low, high, _ = wilson(same, len(won))
    found = kappa(won, published) or (None, None, None)
    return {
        "agreement_pct": 100 * same / len(won),
        "agreement_ci_low": 100 * low,
        "agreement_ci_high": 100 * high,
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


def _position(won: Flags, first: Flags, prompts: NDArray[np.str_]) -> dict[str, float | None]:
    """Position bias over prompts (`stats.judging.position`), and the win rate in either place."""
    return {
        **position(won, first, prompts),
        "win_when_first_pct": 100 * float(won[first].mean()) if first.any() else None,
        "win_when_second_pct": 100 * float(won[~first].mean()) if not first.all() else None,
    }
