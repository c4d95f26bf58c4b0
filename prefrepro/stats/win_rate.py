"""From verdicts to a win rate with its interval and its counts.

`paper`: one order per prompt; wins over all attempts, as compare.py of the RPO code counts (a tie or an
invalid verdict wins nothing). `robust`: both orders; agreement is a win or a loss, all else half; a prompt
with an invalid order is left out of the rate and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prefrepro.errors import UserError
from prefrepro.stats.intervals import bootstrap, wilson

ORDERS = {"paper": 1, "robust": 2}
"""Protocol -> verdicts per prompt."""
_SCORES = {"win": 1.0, "tie": 0.5, "loss": 0.0, "invalid": np.nan}


@dataclass(frozen=True, slots=True)
class WinRate:
    """A rate in percent. The counts are prompts (times seeds) and add up: n = win + loss + tie + invalid.

    The rate divides by n under `paper` and by n - n_invalid under `robust`; it is None where that is 0.
    """

    value_pct: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    n: int
    n_win: int
    n_loss: int
    n_tie: int
    n_invalid: int


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Share of decided verdicts that went to the answer shown first, in percent; 50 is no bias."""

    share_pct: float | None
    ci_low: float | None
    ci_high: float | None
    n: int


def prompt_scores(verdicts: pd.DataFrame, protocol: str) -> pd.Series:
    """Score of each prompt (1, 0.5, 0, NaN = invalid) by prompt id.

    Raises UserError where a prompt has another number of verdicts than the protocol asks for.
    """
    if protocol not in ORDERS:
        raise UserError(f"protocol {protocol!r} is unknown. Known: {', '.join(ORDERS)}")
    per_prompt = ORDERS[protocol]
    sizes = Counter(verdicts["prompt_id"])
    doubled = verdicts.loc[verdicts.duplicated(["prompt_id", "order"]), "prompt_id"]
    wrong = sorted({prompt for prompt, size in sizes.items() if size != per_prompt}.union(doubled))
    if wrong:
        names = ", ".join(sorted(set(verdicts["verdict_set_id"])))
        more = f" (and {len(wrong) - 1} more prompts)" if len(wrong) > 1 else ""
        raise UserError(
            f"verdict set {names}: prompt {wrong[0]} has {sizes[wrong[0]]} verdicts{more}; "
            f"protocol {protocol} has {per_prompt} per prompt, each in another order. Judge this set again."
        )
    ordered = verdicts.sort_values("prompt_id", kind="stable")
    scores = np.array([_SCORES[verdict] for verdict in ordered["verdict"]]).reshape(-1, per_prompt)
    agreed = scores.min(axis=1) == scores.max(axis=1)
    combined = np.where(agreed, scores[:, 0], 0.5)
    combined[np.isnan(scores).any(axis=1)] = np.nan
    return pd.Series(combined, index=pd.Index(ordered["prompt_id"].iloc[::per_prompt]))


def summarise(verdicts: pd.DataFrame, protocol: str) -> WinRate:
    """Win rate of one verdict set: Wilson's interval under `paper`, bootstrap by prompt under `robust`."""
    return summarise_scores([prompt_scores(verdicts, protocol)], protocol)


def summarise_scores(seeds: Sequence[pd.Series], protocol: str) -> WinRate:
    """Win rate over one score series per training seed; with several, the bootstrap draws seeds as well."""
    attempts = pd.concat(seeds)
    wins, losses, ties = (int((attempts == score).sum()) for score in (1.0, 0.0, 0.5))
    counts = (len(attempts), wins, losses, ties, int(attempts.isna().sum()))
    if protocol == "paper":
        seeds = [(series == 1).astype(float) for series in seeds]
    table = pd.concat(seeds, axis=1).sort_index().to_numpy(dtype=np.float64).T
    if np.isnan(table).all():
        return WinRate(None, None, None, None, *counts)
    binary = protocol == "paper" and len(seeds) == 1
    low, high, method = wilson(wins, len(attempts)) if binary else bootstrap(table)
    return WinRate(100 * float(np.nanmean(table)), 100 * low, 100 * high, method, *counts)


def position_bias(verdicts: pd.DataFrame) -> PositionBias:
    """Share of the verdicts with a winner that went to the answer shown first, with Wilson's interval."""
    decided = verdicts[verdicts["verdict"].isin(["win", "loss"])]
    candidate_won = (decided["verdict"] == "win").to_numpy(dtype=bool)
    candidate_first = (decided["order"] == "candidate_first").to_numpy(dtype=bool)
    first = int(np.count_nonzero(candidate_won == candidate_first))
    if decided.empty:
        return PositionBias(None, None, None, 0)
    low, high, _ = wilson(first, len(decided))
    return PositionBias(100 * first / len(decided), 100 * low, 100 * high, len(decided))
