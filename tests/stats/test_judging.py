"""How a judge behaved, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from stats_helpers import both_orders, one_order, ratings

from prefrepro.stats.intervals import wilson
from prefrepro.stats.judging import judging_quality


def test_a_judge_by_hand() -> None:
    """Decided: 4 verdicts, 3 for the answer shown first. Both orders valid: 3 answers, 1 with two winners."""
    found = judging_quality(both_orders([("win", "loss"), ("win", "win"), ("tie", "tie"), ("invalid", "tie")]))
    low, high, _ = wilson(3, 4)
    assert found["first_shown_pct"] == 75 and found["n_decided"] == 4
    assert (found["first_shown_ci_low"], found["first_shown_ci_high"]) == pytest.approx((100 * low, 100 * high))
    assert (found["n_prompts"], found["n_verdicts"]) == (4, 8)
    assert (found["tie_pct"], found["invalid_pct"]) == (37.5, 12.5)
    assert found["orders_disagree_pct"] == pytest.approx(100 / 3)


def test_what_is_not_known_is_none() -> None:
    found = judging_quality(ratings([(8, 6)]))
    assert (found["first_shown_pct"], found["first_shown_ci_low"], found["orders_disagree_pct"]) == (None, None, None)
    assert judging_quality(one_order(["tie"]))["n_decided"] == 0


def test_draws_are_answers_of_their_own() -> None:
    frame = pd.concat([both_orders([("win", "loss")]), both_orders([("win", "win")], draw=1)])
    assert judging_quality(frame)["orders_disagree_pct"] == 50
