"""Metric name -> how a value, its interval and its paired test come from verdict sets, one per training seed.

A metric is either a mean of prompt scores, or a number that the evaluation fitted itself (length-controlled win
rate, Bradley-Terry) and left in `metrics` with its bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from prefrepro.errors import UserError, nearest
from prefrepro.stats.clusters import clusters
from prefrepro.stats.intervals import (
    ALPHA,
    Estimates,
    Scores,
    is_wins,
    mean_estimates,
    mean_interval,
    refit_estimates,
    score_interval,
    two_levels,
    wilson,
)
from prefrepro.stats.paired import Difference, compare_estimates, compare_scores
from prefrepro.stats.printed import Gap, of_counts, of_one, of_several
from prefrepro.stats.scores import PromptScores, held_out_scores, mean_scores, pairwise_scores, rating_scores, set_name


@dataclass(frozen=True, slots=True, eq=False)
class VerdictSet:
    """One judging of one training's answers."""

    frame: pd.DataFrame
    """Rows of verdicts.csv."""
    metrics: dict[str, Any]
    """Metric -> {value, replicates, n}, in the metric's unit, for what is no mean of verdicts."""
    groups: dict[str, str] = field(default_factory=dict)
    """Prompt id -> its topic or source, where the benchmark has them."""
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
    """The value and its replicates, in percent, stand in VerdictSet.metrics; the scores give the counts alone."""

    @property
    def unit(self) -> float:
        """Points of the metric in a whole score."""
        return self.high - self.low


METRICS = {
    "win_rate_pct": Metric(pairwise_scores),  # RPO: wins of the GPT-4 pairwise judge
    "wr": Metric(mean_scores),  # AlpacaEval: mean preference, ties half, invalid left out
    "lc_wr": Metric(mean_scores, is_fitted=True),  # AlpacaEval 2: length-controlled
    "mt_bench": Metric(rating_scores, low=1.0, high=10.0),  # mean rating
    "arena_hard_pct": Metric(mean_scores, is_fitted=True),  # weighted win rate against the baseline
    "arena_hard_style_pct": Metric(mean_scores, is_fitted=True),  # the same, style-controlled (v2.0)
    "accuracy_pct": Metric(lambda verdicts, _: held_out_scores(verdicts, "pair")),  # pairs ranked as labelled
    "top1_pct": Metric(lambda verdicts, _: held_out_scores(verdicts, "top_1")),  # best response of a group found
}


@dataclass(frozen=True, slots=True)
class Summary:
    """One number in its metric's unit, with its 95 % interval; None where no prompt has a valid verdict.

    `n` counts prompts, those of several trainings once. n_tie and n_invalid are summed over trainings: a prompt counts
    where at least one of its answers (draws) is tied or invalid; `robust`: an answer whose two orders disagree is a
    tie, with an invalid order it is invalid.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    """wilson | wilson_prompts | wilson_seeds_prompts | refit"""
    n: int
    n_tie: int
    n_invalid: int
    n_clusters: int | None = None
    """Topics or sources that the prompts come from."""
    design_effect: float | None = None
    """Variance clustered by them over the one over prompts; of a fitted number that of the mean of its verdicts."""


def summarise(metric: str, sets: Sequence[VerdictSet], protocol: str) -> Summary:
    """The metric over one verdict set per training seed.

    `win_rate_pct` under `paper` divides by all attempts; everything else by the prompts with a valid verdict.
    Raises UserError for an unknown metric or protocol, and for verdicts that are not what the metric wants.
    """
    kind = _metric(metric)
    scored = [one.scores(metric, protocol) for one in sets]
    counts = {
        "n": _prompts([one.scores for one in scored]),
        "n_tie": sum(one.n_tie for one in scored),
        "n_invalid": sum(one.n_invalid for one in scored),
    }
    if kind.is_fitted:
        fitted = _fitted(metric, sets)
        if fitted is None:
            return Summary(None, None, None, None, **counts)
        interval = _fitted_interval(fitted, counts["n"])
        return Summary(100 * fitted.value, *interval, "refit", **counts, **_clustered(sets, scored))
    (table,) = _tables([one.counted() for one in scored])
    if np.isnan(table).all(axis=1).any():
        return Summary(None, None, None, None, **counts)
    low, high, method = mean_interval(table)
    value = mean_estimates(table).value
    value, low, high = (kind.low + kind.unit * score for score in (value, low, high))
    return Summary(value, low, high, method, **counts, **_clustered(sets, scored))


def compare(metric: str, own: Sequence[VerdictSet], baseline: Sequence[VerdictSet], protocol: str) -> Difference | None:
    """A row against its baseline, in points of the metric, over the prompts that both are counted on.

    What is counted is what the rates count: under `paper` an invalid verdict is not won, in both. None where they share
    fewer than two such prompts. Raises UserError as `summarise`, and where fitted replicates do not belong together.
    """
    kind = _metric(metric)
    if kind.is_fitted:
        first, second = _fitted(metric, own), _fitted(metric, baseline)
        if first is None or second is None:
            return None
        if first.moves.shape[1] != second.moves.shape[1]:
            raise UserError(
                f"{metric} has {first.moves.shape[1]} replicates in verdict set {set_name(own[0].frame)} and "
                f"{second.moves.shape[1]} in {set_name(baseline[0].frame)}: they cannot be paired. "
                "Judge both sets again with the same number of replicates."
            )
        return compare_estimates(first, second, len(own[0].scores(metric, protocol).scores)).scaled(100)
    left, right = _tables(*([one.scores(metric, protocol).counted() for one in side] for side in (own, baseline)))
    shared = ~(np.isnan(left).all(axis=0) | np.isnan(right).all(axis=0))
    left, right = left[:, shared], right[:, shared]
    if shared.sum() < 2 or any(np.isnan(table).all(axis=1).any() for table in (left, right)):
        return None
    return compare_scores(left, right).scaled(kind.unit)


def against_printed(metric: str, sets: Sequence[VerdictSet], protocol: str, printed: float) -> Gap | None:
    """Ours less the printed number, in points of the metric; None where ours has no value. Raises as `summarise`."""
    kind = _metric(metric)
    share = (printed - kind.low) / kind.unit
    found = estimates(metric, sets, protocol)
    if found is None:
        return None
    ours, table = found
    if len(sets) > 1:
        once = float((ours.moves**2).sum(axis=1).mean())
        if table is not None and is_wins(table) and 0 < share < 1:
            once = share * (1 - share) / table.shape[1]
        gap = of_several(ours, share, once)
    elif table is not None and is_wins(table):
        n = int((~np.isnan(table)).sum())
        gap = of_counts(ours.value * n, share, n)
    else:
        low, high = score_interval(ours) if table is None else mean_interval(table)[:2]
        error = two_levels([ours]).total ** 0.5 or (high - low) / (2 * float(norm.ppf(1 - ALPHA / 2)))
        gap = of_one(ours.value, error, share)
    return Gap(*(kind.unit * end for end in gap))


def estimates(metric: str, sets: Sequence[VerdictSet], protocol: str) -> tuple[Estimates, Scores | None] | None:
    """A row's values as shares of 1, and the (seeds, prompts) table that they are means of, none of a fitted number.

    None where a training has no value.
    """
    if _metric(metric).is_fitted:
        fitted = _fitted(metric, sets)
        return None if fitted is None else (fitted, None)
    (table,) = _tables([one.scores(metric, protocol).counted() for one in sets])
    return None if np.isnan(table).all(axis=1).any() else (mean_estimates(table), table)


def estimates_together(metric: str, rows: Sequence[Sequence[VerdictSet]], protocol: str) -> list[Estimates] | None:
    """Estimates of several rows over the prompts that all are counted on, so that their moves belong together.

    None where a row has no value, they share fewer than two prompts, or fitted numbers have other replicates.
    """
    if _metric(metric).is_fitted:
        fitted = [_fitted(metric, sets) for sets in rows]
        known = [one for one in fitted if one is not None]
        return known if len(known) == len(rows) and len({one.moves.shape[1] for one in known}) == 1 else None
    tables = _tables(*([one.scores(metric, protocol).counted() for one in sets] for sets in rows))
    shared = ~np.any([np.isnan(table).all(axis=0) for table in tables], axis=0)
    tables = [table[:, shared] for table in tables]
    if shared.sum() < 2 or any(np.isnan(table).all(axis=1).any() for table in tables):
        return None
    return [mean_estimates(table) for table in tables]


def _clustered(sets: Sequence[VerdictSet], scored: Sequence[PromptScores]) -> dict[str, Any]:
    """Number of clusters and design effect; empty where the prompts have no groups."""
    groups = {prompt: group for one in sets for prompt, group in one.groups.items()}
    counted = [one.counted() for one in scored]
    (table,) = _tables(counted)
    if not groups or np.isnan(table).all(axis=1).any():
        return {}
    known = np.flatnonzero(~np.isnan(table).all(axis=0))
    prompts = [str(prompt) for prompt in _index(counted)[known]]
    found = clusters(mean_estimates(table[:, known]), prompts, groups)
    return dict(zip(("n_clusters", "design_effect"), found, strict=True)) if found else {}


def _fitted_interval(fitted: Estimates, n: int) -> tuple[float, float]:
    """In percent. Where nothing but wins, or losses, was there to fit, Wilson's interval over the n prompts."""
    is_edge = not fitted.moves.any() and fitted.value in (0, 1)
    low, high = wilson(fitted.value * n, n)[:2] if is_edge else score_interval(fitted)
    return 100 * low, 100 * high


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UserError(f"metric {name!r} is unknown. Known: {', '.join(METRICS)}.{nearest(name, METRICS)}")
    return METRICS[name]


def _tables(*sides: Sequence[pd.Series]) -> list[Scores]:
    """(seeds, prompts) of each side, over the prompts of all in their order; NaN where one has no valid verdict.

    By hand, because pandas takes most of a table's time to join what nearly always has the same prompts.
    """
    prompts = _index([one for side in sides for one in side])
    placed = [[one if one.index.equals(prompts) else one.reindex(prompts) for one in side] for side in sides]
    return [np.stack([one.to_numpy(dtype=np.float64) for one in side]) for side in placed]


def _index(every: Sequence[pd.Series]) -> pd.Index:
    """The prompts of all, in order."""
    prompts = every[0].index
    for one in every[1:]:
        prompts = prompts if one.index.equals(prompts) else prompts.union(one.index)
    return prompts if prompts.is_monotonic_increasing else prompts.sort_values()


def _prompts(every: Sequence[pd.Series]) -> int:
    return len(every[0].index) if len(every) == 1 else len(set().union(*(one.index for one in every)))


def _fitted(metric: str, sets: Sequence[VerdictSet]) -> Estimates | None:
    """Values that the evaluation left, as shares of 1; None where it left a reason for having no value.

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
    return refit_estimates(values / 100, replicates / 100)
