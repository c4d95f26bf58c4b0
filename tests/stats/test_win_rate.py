"""Win rates of both protocols against counts done by hand; invalid verdicts never move a rate unseen."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.errors import UserError
from prefrepro.stats.intervals import wilson
from prefrepro.stats.win_rate import PositionBias, position_bias, prompt_scores, summarise, summarise_scores

WORDS = ("win", "loss", "tie", "invalid")
FIRST, SECOND = "candidate_first", "baseline_first"


def one_order(words: Sequence[str], order: str = FIRST) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "verdict_set_id": "v",
            "prompt_id": [f"p{i:03d}" for i in range(len(words))],
            "order": order,
            "verdict": list(words),
        }
    )


def both_orders(pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    first, second = zip(*pairs, strict=True)
    return pd.concat([one_order(first), one_order(second, SECOND)], ignore_index=True)


def test_paper_protocol_is_wins_over_all_attempts() -> None:
    """RPO Table 1, paired RPO: 201 wins of 256 with 5 replies that name no answer, 78.52 %."""
    rate = summarise(one_order(["win"] * 201 + ["loss"] * 50 + ["invalid"] * 5), "paper")
    assert round(rate.value_pct or 0, 2) == 78.52
    assert (rate.ci_low, rate.ci_high) == pytest.approx([100 * bound for bound in wilson(201, 256)[:2]])
    assert (rate.ci_method, rate.n, rate.n_win, rate.n_loss) == ("wilson", 256, 201, 50)
    assert (rate.n_tie, rate.n_invalid) == (0, 5)


def test_robust_protocol_by_hand() -> None:
    """1 + 0 + 0.5 + 0.5 + 0.5 over five prompts = 50 %; the sixth and seventh leave the rate, and show."""
    pairs = [("win", "win"), ("loss", "loss"), ("win", "loss"), ("tie", "win"), ("tie", "tie")]
    rate = summarise(both_orders([*pairs, ("invalid", "win"), ("invalid", "invalid")]), "robust")
    assert rate.value_pct == pytest.approx(50)
    assert (rate.n, rate.n_win, rate.n_loss, rate.n_tie, rate.n_invalid) == (7, 1, 1, 3, 2)
    assert rate.ci_method == "bootstrap_prompts"


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1, max_size=15), st.randoms())
def test_counts_add_up_and_row_order_is_nothing(pairs: list[tuple[str, str]], random) -> None:
    frame = both_orders(pairs)
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))].reset_index(drop=True)
    rate = summarise(frame, "robust")
    assert rate == summarise(shuffled, "robust")
    assert rate.n == rate.n_win + rate.n_loss + rate.n_tie + rate.n_invalid == len(pairs)
    if rate.value_pct is None:
        assert rate.n_invalid == rate.n
    else:
        assert rate.ci_low is not None and rate.ci_high is not None
        assert 0 <= rate.ci_low <= rate.ci_high <= 100


@given(st.lists(st.sampled_from(WORDS[:3]), min_size=1, max_size=15))
def test_swapping_the_sides_mirrors_the_robust_rate(words: list[str]) -> None:
    swap = {"win": "loss", "loss": "win", "tie": "tie"}
    rate = summarise(both_orders([(word, word) for word in words]), "robust")
    mirrored = summarise(both_orders([(swap[word], swap[word]) for word in words]), "robust")
    assert rate.value_pct is not None and mirrored.value_pct is not None
    assert rate.value_pct + mirrored.value_pct == pytest.approx(100)


def test_no_valid_verdict_is_no_number() -> None:
    rate = summarise(both_orders([("invalid", "win")] * 4), "robust")
    assert (rate.value_pct, rate.ci_low, rate.ci_method, rate.n, rate.n_invalid) == (None, None, None, 4, 4)


def test_several_seeds_pool_and_name_their_interval() -> None:
    seeds = [prompt_scores(one_order(["win"] * k + ["loss"] * (20 - k)), "paper") for k in (12, 15, 18)]
    rate = summarise_scores(seeds, "paper")
    assert rate.value_pct == pytest.approx(75)
    assert (rate.n, rate.n_win, rate.ci_method) == (60, 45, "bootstrap_seeds_prompts")


@pytest.mark.parametrize(
    ("frame", "protocol", "said"),
    [
        (one_order(["win", "loss"]), "robust", "p000 has 1 verdicts (and 1 more prompts)"),
        (both_orders([("win", "win")]), "paper", "p000 has 2 verdicts; protocol paper has 1"),
        (pd.concat([one_order(["win"]), one_order(["loss"])]), "robust", "each in another order"),
        (one_order(["win"]), "fair", "protocol 'fair' is unknown. Known: paper, robust"),
    ],
)
def test_a_set_of_the_wrong_shape_is_refused(frame: pd.DataFrame, protocol: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        summarise(frame, protocol)
    assert said in str(caught.value)


def test_position_bias_by_hand() -> None:
    """First-shown answer preferred in 3 of 4 decided verdicts; the tie and the invalid one do not count."""
    pairs = [("win", "loss"), ("win", "win"), ("tie", "invalid")]
    bias = position_bias(both_orders(pairs))
    low, high, _ = wilson(3, 4)
    assert bias == PositionBias(75.0, 100 * low, 100 * high, 4)
    assert position_bias(one_order(["tie"])) == PositionBias(None, None, None, 0)
