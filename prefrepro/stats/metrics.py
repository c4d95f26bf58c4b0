"""Metric name -> how a value, its interval and its paired test come from verdict sets, one per training seed.

A metric is either a mean of prompt scores, or a number that the evaluation fitted itself (length-controlled win
rate, Bradley-Terry) and left in `metrics` with its bootstrap replicates. Knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from prefrepro.errors import UserError, nearest
from prefrepro.stats.intervals import Estimates, Scores, interval, mean_interval
from prefrepro.stats.paired import Difference, compare_estimates, compare_scores, normal_p
from prefrepro.stats.scores import PromptScores, mean_scores, pairwise_scores, rating_scores, set_name


@dataclass(frozen=True, slots=True, eq=False)
class VerdictSet:
    """One judging of one training's answers."""

    frame: pd.DataFrame
    """Rows of verdicts.csv."""
    metrics: dict[str, Any]
    """Metric -> {value, replicates, n}, in the metric's unit, for what is no mean of verdicts."""
    _scored: dict[tuple[str, str], PromptScores] = field(default_factory=dict, repr=False)

    def scores(self, metric: str, protocol: str) -> PromptScores:
        """Its scores under a metric, made once: a baseline is asked for by every row of its column."""
        if (metric, protocol) not in self._scored:
            self._scored[metric, protocol] = _metric(metric).scores(self.frame, protocol)
        return self._scored[metric, protocol]


@dataclass(frozen=True, slots=True)
class Metric:
    """How one kind of number is made."""

    scores: Callable[[pd.DataFrame, str], PromptScores]
    """(verdicts, protocol) -> one score in 0..1 per prompt."""
    low: float = 0.0
    high: float = 100.0
    """What scores of 0 and 1 are in the metric's own unit."""
    is_fitted: bool = False
    """The value and its replicates stand in VerdictSet.metrics; the scores give the counts alone."""


METRICS = {
    "win_rate_pct": Metric(pairwise_scores),  # RPO: wins of the GPT-4 pairwise judge
    "wr": Metric(mean_scores),  # AlpacaEval: mean preference, ties half, invalid left out
    "lc_wr": Metric(mean_scores, is_fitted=True),  # AlpacaEval 2: length-controlled
    "mt_bench": Metric(rating_scores, low=1.0, high=10.0),  # mean rating
    "arena_hard_pct": Metric(mean_scores, is_fitted=True),  # weighted win rate against the baseline
}


@dataclass(frozen=True, slots=True)
class Summary:
    """One number in its metric's unit, with its 95 % interval; None where no prompt has a valid verdict.

    Counts are prompts, summed over training seeds. A prompt counts as tied or invalid where at least one of its
    answers (draws) is; `robust`: an answer whose two orders disagree is a tie, with an invalid order it is invalid.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    """wilson | bootstrap_prompts | bootstrap_seeds_prompts | bootstrap_refit"""
    n: int
    n_tie: int
    n_invalid: int


def summarise(metric: str, sets: Sequence[VerdictSet], protocol: str) -> Summary:
    """The metric over one verdict set per training seed.

    `win_rate_pct` under `paper` divides by all attempts; everything else by the prompts with a valid verdict.
    Raises UserError for an unknown metric or protocol, and for verdicts that are not what the metric wants.
    """
    kind = _metric(metric)
    scored = [one.scores(metric, protocol) for one in sets]
    counts = {
        "n": sum(len(one.scores) for one in scored),
        "n_tie": sum(one.n_tie for one in scored),
        "n_invalid": sum(one.n_invalid for one in scored),
    }
    if kind.is_fitted:
        fitted = _fitted(metric, sets)
        if fitted is None:
            return Summary(None, None, None, None, **counts)
        return Summary(fitted.value, *_clipped(kind, *interval(fitted)), "bootstrap_refit", **counts)
    (table,) = _tables([one.counted() for one in scored])
    if np.isnan(table).all(axis=1).any():
        return Summary(None, None, None, None, **counts)
    low, high, method = mean_interval(table)
    value = float(np.nanmean(table, axis=1).mean())
    return Summary(
        _in_unit(kind, value), *_clipped(kind, *(_in_unit(kind, end) for end in (low, high))), method, **counts
    )


def compare(metric: str, own: Sequence[VerdictSet], baseline: Sequence[VerdictSet], protocol: str) -> Difference | None:
    """A row against its baseline, in points of the metric, over the prompts that both have a valid verdict on.

    None where they share no such prompt. Raises UserError as `summarise`, and where fitted replicates do not
    belong together.
    """
    kind = _metric(metric)
    if kind.is_fitted:
        first, second = _fitted(metric, own), _fitted(metric, baseline)
        if first is None or second is None:
            return None
        if first.replicates.shape[1] != second.replicates.shape[1]:
            raise UserError(
                f"{metric} has {first.replicates.shape[1]} replicates in verdict set {set_name(own[0].frame)} and "
                f"{second.replicates.shape[1]} in {set_name(baseline[0].frame)}: they cannot be paired. "
                "Judge both sets again with the same number of replicates."
            )
        difference = compare_estimates(first, second, len(own[0].scores(metric, protocol).scores))
        if len(own) == len(baseline) == 1:
            return difference._replace(p=normal_p(difference, first, second), method="paired_refit")
        return difference
    left, right = _tables(*([one.scores(metric, protocol).scores for one in side] for side in (own, baseline)))
    shared = ~(np.isnan(left).all(axis=0) | np.isnan(right).all(axis=0))
    left, right = left[:, shared], right[:, shared]
    if not shared.any() or any(np.isnan(table).all(axis=1).any() for table in (left, right)):
        return None
    difference = compare_scores(left, right)
    per_score = kind.high - kind.low
    points = {name: per_score * getattr(difference, name) for name in ("value", "ci_low", "ci_high")}
    return difference._replace(**points)


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UserError(f"metric {name!r} is unknown. Known: {', '.join(METRICS)}.{nearest(name, METRICS)}")
    return METRICS[name]


def _tables(*sides: Sequence[pd.Series]) -> list[Scores]:
    """(seeds, prompts) of each side, over the prompts of all in their order; NaN where one has no valid verdict.

    By hand, because pandas takes most of a table's time to join what nearly always has the same prompts.
    """
    every = [one for side in sides for one in side]
    prompts = every[0].index
    for one in every[1:]:
        prompts = prompts if one.index.equals(prompts) else prompts.union(one.index)
    prompts = prompts if prompts.is_monotonic_increasing else prompts.sort_values()
    placed = [[one if one.index.equals(prompts) else one.reindex(prompts) for one in side] for side in sides]
    return [np.stack([one.to_numpy(dtype=np.float64) for one in side]) for side in placed]


def _in_unit(kind: Metric, score: float) -> float:
    return kind.low + (kind.high - kind.low) * score


def _clipped(kind: Metric, low: float, high: float) -> tuple[float, float]:
    """Within what the metric can be: t knows no bounds."""
    return max(kind.low, low), min(kind.high, high)


def _fitted(metric: str, sets: Sequence[VerdictSet]) -> Estimates | None:
    """Values and replicates that the evaluation left; None where it left a reason for having no value.

    A replicate of null, whose resample held no valid verdict, says nothing new. Raises UserError where the
    evaluation knows no such metric, or a replicate is not finite.
    """
    for one in sets:
        if metric not in one.metrics and not set(one.frame["verdict"]) <= {"invalid"}:
            raise UserError(
                f"verdict set {set_name(one.frame)} has no {metric}, only {', '.join(one.metrics) or 'verdicts'}. "
                "Name a metric of its evaluation, or judge it again."
            )
    fits = [one.metrics.get(metric, {"value": None}) for one in sets]
    if any(fit["value"] is None for fit in fits):
        return None
    if len({len(fit["replicates"]) for fit in fits}) > 1:
        names = "; ".join(set_name(one.frame) for one in sets)
        raise UserError(
            f"{metric} has another number of replicates in verdict sets {names}. Judge them again with one."
        )
    values = np.array([fit["value"] for fit in fits], dtype=np.float64)
    drawn = [[fit["value"] if one is None else one for one in fit["replicates"]] for fit in fits]
    replicates = np.array(drawn, dtype=np.float64)
    if replicates.shape[1] < 2 or not (np.isfinite(values).all() and np.isfinite(replicates).all()):
        names = "; ".join(set_name(one.frame) for one in sets)
        raise UserError(f"verdict set {names}: {metric} wants several replicates, each finite. Judge it again.")
    return Estimates(values, replicates)
