"""One score per prompt: draws, orders and turns averaged by hand, and half-judged sets refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_helpers import SECOND, both_orders, one_order, ratings, shares

from prefrepro.errors import UserError
from prefrepro.stats.scores import mean_scores, pairwise_scores, rating_scores

NAN = float("nan")


def draws(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.assign(draw=place) for place, frame in enumerate(frames)], ignore_index=True)


def test_paper_counts_wins_over_all_draws() -> None:
    """p000 wins 2 of 4, with a tie and an invalid one; p001 never has a verdict; p002 wins all."""
    words = [
        ["win", "invalid", "win"],
        ["tie", "invalid", "win"],
        ["invalid", "invalid", "win"],
        ["win", "invalid", "win"],
    ]
    found = pairwise_scores(draws(*map(one_order, words)), "paper")
    assert found.scores.tolist() == pytest.approx([0.5, NAN, 1], nan_ok=True)
    assert found.counted().tolist() == [0.5, 0, 1]
    assert (found.n_tie, found.n_invalid) == (1, 2)


def test_robust_averages_the_draws_that_are_valid() -> None:
    """p000: agreed win, disagreement = half, invalid order left out: 0.75. p001: all three lost."""
    frame = draws(
        both_orders([("win", "win"), ("loss", "loss")]),
        both_orders([("win", "loss"), ("loss", "loss")]),
        both_orders([("win", "invalid"), ("loss", "loss")]),
    )
    found = pairwise_scores(frame, "robust")
    assert found.scores.to_dict() == {"p000": 0.75, "p001": 0.0}
    assert (found.n_tie, found.n_invalid) == (1, 1)


def test_swepo_averages_greedy_and_nine_samples() -> None:
    """Greedy 0.9, then 3 at each of three temperatures: the plain mean of ten, or by weight of the settings."""
    scores = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.5]
    frame = draws(*[shares([score]) for score in scores])
    assert mean_scores(frame, "paper").scores.tolist() == pytest.approx([sum(scores) / 10])
    weighted = frame.assign(weight=[3.0] + [1.0] * 9)
    settings = [0.9, 0.2, 0.5, 2 / 3]
    assert mean_scores(weighted, "paper").scores.tolist() == pytest.approx([sum(settings) / 4])


def test_alpaca_scores_stay_continuous_and_invalid_ones_leave() -> None:
    found = mean_scores(draws(shares([0.25, NAN, 0.5]), shares([0.75, NAN, NAN])), "paper")
    assert found.scores.tolist() == pytest.approx([0.5, NAN, 0.5], nan_ok=True)
    assert found.counted().isna().tolist() == [False, True, False]
    assert (found.n_tie, found.n_invalid) == (1, 2)


def test_ratings_are_means_over_turns() -> None:
    """8 and 6 are 7 of 1..10, so 6/9; of 10 and an invalid turn 10 is left, so 1."""
    found = rating_scores(ratings([(8, 6), (10, NAN), (1, 1)]), "paper")
    assert found.scores.tolist() == pytest.approx([6 / 9, 1, 0])
    assert (found.n_tie, found.n_invalid) == (0, 1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["win", "loss", "tie", "invalid"]), min_size=6, max_size=6), min_size=1, max_size=4
    ),
    st.randoms(),
)
def test_row_order_is_nothing_and_scores_stay_within_bounds(words: list[list[str]], random) -> None:
    frame = draws(*[both_orders(list(zip(draw[:3], draw[3:], strict=True))) for draw in words])
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    for found, again in ((pairwise_scores(f, "robust"), mean_scores(f, "robust")) for f in (frame, shuffled)):
        assert found.scores.dropna().between(0, 1).all() and again.scores.dropna().between(0, 1).all()
    one, other = pairwise_scores(frame, "robust"), pairwise_scores(shuffled, "robust")
    pd.testing.assert_series_equal(one.scores, other.scores)
    assert one[1:3] == pytest.approx(other[1:3], nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["win", "loss", "tie", "invalid"]), min_size=1, max_size=8))
def test_the_same_answer_drawn_twice_is_the_answer_drawn_once(words: list[str]) -> None:
    once = one_order(words)
    for scores, protocol in ((pairwise_scores, "paper"), (mean_scores, "paper")):
        single, double = scores(once, protocol), scores(draws(once, once), protocol)
        pd.testing.assert_series_equal(single.scores, double.scores)
        assert single[2:] == double[2:]


@pytest.mark.parametrize(
    ("frame", "protocol", "said"),
    [
        (one_order(["win", "loss"]), "robust", "p000, draw 0 has 1 verdicts; protocol robust has 2 per answer"),
        (both_orders([("win", "win")]), "paper", "p000, draw 0 has 2 verdicts; protocol paper has 1"),
        (pd.concat([one_order(["win"])] * 2), "robust", "p000, draw 0 was judged more than once as candidate_first"),
        (
            pd.concat([one_order(["win", "win"]), one_order(["win"], draw=1)]),
            "paper",
            "p001 has 1 verdicts, another has 2",
        ),
        (one_order(["win"]), "fair", "protocol 'fair' is unknown. Known: paper, robust"),
        (ratings([(8, 9)]), "robust", "it holds ratings, the metric wants verdicts"),
    ],
)
def test_a_pairwise_set_of_the_wrong_shape_is_refused(frame: pd.DataFrame, protocol: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        pairwise_scores(frame, protocol)
    assert said in str(caught.value)


def test_ratings_and_verdicts_are_not_mixed_up() -> None:
    with pytest.raises(UserError, match="it holds verdicts, the metric wants ratings"):
        rating_scores(one_order(["win", "invalid"]), "paper")
    with pytest.raises(UserError, match="p000, draw 0 was judged more than once as turn_1"):
        rating_scores(pd.concat([ratings([(7, 8)])] * 2), "paper")
    assert np.isnan(mean_scores(one_order(["invalid"], SECOND), "paper").scores).all()
