"""The judge's own variance, from requests that it was asked several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prefrepro.stats.intervals import mean_interval
from prefrepro.stats.scores import RATINGS

FLIPS = ("flip_pct", "flip_ci_low", "flip_ci_high")
SHARES = ("judge_share_pct", "judge_share_ci_low", "judge_share_ci_high")
NEEDED = ("verdict", "score", "weight")
Values = NDArray[np.float64]


def repeat_quality(frame: pd.DataFrame, repeats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of judging.csv; None where nothing was asked again.

    `frame`: the reported verdicts. `repeats`: one entry per request, with the lists `verdict`, `score` and `weight` of
    all its replies. Flip rate: share of the pairs of replies to one request that name another verdict, an invalid one
    too, or another rating. `judge_variance`: variance between the valid replies to one request of the score on 0..1,
    times its weight. `judge_share_pct`: the part of the variance of the mean score that it makes. Intervals are over
    requests; that of the share takes the variance over prompts for known.
    """
    counts = {"n_repeated": len(repeats), "n_repeats": sum(len(one["verdict"]) - 1 for one in repeats)}
    found: dict[str, Any] = {**counts, **dict.fromkeys((*FLIPS, "judge_variance", *SHARES))}
    if not repeats:
        return found
    pairs = [[one != other for one, other in combinations(_named(entry), 2)] for entry in repeats]
    differ = np.array([sum(pair) / len(pair) for pair in pairs], dtype=np.float64)
    found |= dict(zip(FLIPS, _with_interval(differ, 100), strict=True))
    valid, is_rated = frame.loc[frame["verdict"] != "invalid"], bool((frame["verdict"] == "rated").any())
    score, weight = _scores(valid.to_dict("list"), is_rated)
    mean = float(np.average(score, weights=weight)) if len(score) else np.nan
    replies = [weights * (scores - mean) for scores, weights in (_scores(entry, is_rated) for entry in repeats)]
    variances = np.array([moves.var(ddof=1) for moves in replies if len(moves) > 1])
    if not len(variances) or not len(score):
        return found
    found["judge_variance"] = float(variances.mean())
    _, prompts = np.unique(np.array(valid["prompt_id"], dtype=np.str_), return_inverse=True)
    sums = np.bincount(prompts, weight * (score - mean))
    # The variance over prompts of (Σ weight) × mean, and in it the judge's: one `judge_variance` for each verdict.
    total = float(sums @ sums) * len(sums) / max(len(sums) - 1, 1)
    most = float(weight.max()) ** 2
    if total > 0:  # a variance is half the mean squared difference of pairs, so at most `most` / 2
        part = _with_interval(2 * variances / most, 100 * len(valid) * most / (2 * total))
        found |= {name: min(100.0, end) for name, end in zip(SHARES, part, strict=True)}
    return found


def _named(entry: Mapping[str, Any]) -> list[Any]:
    pairs = zip(entry["verdict"], entry["score"], strict=True)
    return [score if verdict == "rated" else verdict for verdict, score in pairs]


def _scores(replies: Mapping[Any, Any], is_rated: bool) -> tuple[Values, Values]:
    """Scores of the valid verdicts on 0..1, and their weights."""
    (low, high), every = RATINGS if is_rated else (0.0, 1.0), zip(*(replies[name] for name in NEEDED), strict=True)
    valid = [(score, weight) for verdict, score, weight in every if verdict != "invalid"]
    scores, weights = np.array(valid, dtype=np.float64).reshape(-1, 2).T
    return (scores - low) / (high - low), weights


def _with_interval(values: Values, unit: float) -> tuple[float, ...]:
    """Mean of values in 0..1, one per request, and its 95 % interval."""
    low, high, _ = mean_interval(values.clip(0, 1)[None])
    return tuple(unit * end for end in (float(values.mean()), low, high))
