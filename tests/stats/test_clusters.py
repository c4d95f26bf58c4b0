"""Design effects of topics and sources, by hand and on published verdicts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from shared import SHARED
from stats_helpers import one_order, shares

from prefrepro.stats.clusters import clusters
from prefrepro.stats.intervals import mean_estimates
from prefrepro.stats.metrics import VerdictSet, summarise

ACCEPTANCE, OUTPUTS = SHARED / "data" / "acceptance", SHARED / "data" / "alpaca_eval"


def found(scores: list[float], groups: str) -> tuple[int, float] | None:
    names = [f"p{place}" for place in range(len(scores))]
    return clusters(mean_estimates(np.array([scores])), names, dict(zip(names, groups, strict=False)))


def test_topics_that_decide_everything() -> None:
    """Four prompts, two topics, all won and all lost: moves ± 1/8, plain 4/3 · 4/64, clustered 2 · 2 · (1/4)²: 3."""
    assert found([1, 1, 0, 0], "aabb") == (2, pytest.approx(3))


def test_topics_that_decide_nothing() -> None:
    """Each topic won by half: its moves cancel."""
    assert found([1, 0, 1, 0], "aabb") == (2, pytest.approx(0))


def test_single_prompts_are_no_clusters() -> None:
    """As many topics as prompts: the plain variance, with its own correction."""
    assert found([1, 0, 0, 0.5, 1], "abcde") == (5, pytest.approx(1))


def test_the_clustered_variance_is_that_of_statsmodels() -> None:
    """OLS on a constant with covariance by cluster: G / (G - 1), and (N - 1) / (N - 1) for one parameter."""
    ols = pytest.importorskip("statsmodels.api").OLS
    rng = np.random.default_rng(3)
    topics = rng.integers(0, 7, 120)
    scores = (rng.random(120) < 0.3 + 0.06 * topics).astype(float)
    fits = [
        ols(scores, np.ones(120)).fit(),
        ols(scores, np.ones(120)).fit(cov_type="cluster", cov_kwds={"groups": topics}),
    ]
    plain, clustered = (float(fit.bse[0]) ** 2 for fit in fits)
    assert found(scores.tolist(), "".join(map(str, topics))) == (7, pytest.approx(clustered / plain))


@pytest.mark.parametrize(("scores", "groups"), [([1, 0, 1], "aaa"), ([1, 0, 1], "ab"), ([1, 1, 1], "abc")])
def test_where_there_is_nothing_to_say(scores: list[float], groups: str) -> None:
    """One topic, a prompt without one, no variance."""
    assert found(scores, groups) is None


def test_seeds_are_averaged_and_invalid_prompts_left_out() -> None:
    """A prompt without a verdict in either training is no prompt; sets without groups say nothing."""
    groups = dict(zip([f"p{i:03d}" for i in range(5)], "aabbc", strict=True))
    sets = [VerdictSet(shares(scores), {}, groups) for scores in ([1, 1, 0, 0, np.nan], [0.9, 0.9, 0.1, 0.1, np.nan])]
    summary = summarise("wr", sets, "paper")
    assert (summary.n_clusters, summary.design_effect) == (2, pytest.approx(3))
    alone = summarise("win_rate_pct", [VerdictSet(one_order(["win", "loss"]), {})], "paper")
    assert (alone.n_clusters, alone.design_effect) == (None, None)


def test_a_fitted_number_has_the_design_effect_of_its_verdicts() -> None:
    groups = dict(zip([f"p{i:03d}" for i in range(4)], "aabb", strict=True))
    metrics = {"lc_wr": {"value": 50.0, "replicates": [49.0, 51.0], "n": 4}}
    assert summarise(
        "lc_wr", [VerdictSet(shares([1, 1, 0, 0]), metrics, groups)], "paper"
    ).design_effect == pytest.approx(3)


@pytest.mark.parametrize(
    ("board", "model", "effect"),
    [
        ("ae2_weighted_gpt4_turbo", "NullModel", 3.17),
        ("ae2_weighted_gpt4_turbo", "claude-2.1", 2.74),
        ("ae2_weighted_gpt4_turbo", "claude-2.1_concise", 8.56),
        ("ae1_gpt4", "mistral-medium", 0.18),
    ],
)
def test_published_verdicts_by_source(board: str, model: str, effect: float) -> None:
    """AlpacaEval's five sources: what issue and docs say of it."""
    if not ACCEPTANCE.is_dir() or not OUTPUTS.is_dir():
        pytest.skip(f"{ACCEPTANCE} or {OUTPUTS} is absent: set PREFREPRO_SHARED")
    entries = json.loads((OUTPUTS / "gpt4_1106_preview_reference_outputs.json").read_text(encoding="utf-8"))
    groups = {f"p{place:03d}": entry["dataset"] for place, entry in enumerate(entries)}
    verdicts = (
        pd.read_csv(ACCEPTANCE / f"{board}_annotations_slim.csv.gz").query("model == @model").sort_values("index")
    )
    assert list(verdicts["index"]) == list(range(805))
    frame = shares((verdicts["preference"].replace({0: 1.5}) - 1).tolist())
    summary = summarise("wr", [VerdictSet(frame, {}, groups)], "paper")
    assert (summary.n_clusters, round(summary.design_effect or 0, 2)) == (5, effect)
