"""How a judge behaved, counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from stats_helpers import both_orders, one_order, ratings

from prefrepro.stats.intervals import wilson
from prefrepro.stats.judging import judging_quality, position


def test_a_judge_by_hand() -> None:
    """Decided: 4 verdicts, 3 for the answer shown first. Both orders valid: 3 answers, 1 with two winners."""
    found = judging_quality(both_orders([("win", "loss"), ("win", "win"), ("tie", "tie"), ("invalid", "tie")]))
    assert found["first_shown_pct"] == 75 and found["n_decided"] == 4
    assert found["first_shown_ci_low"] < 75 < found["first_shown_ci_high"]
    assert (found["first_shown_null_pct"], found["balanced_win_pct"]) == (50, 75)
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


def interval(found: dict[str, float | None]) -> tuple[float | None, ...]:
    ends = found["first_shown_ci_low"], found["first_shown_ci_high"]
    return tuple(end if end is None else round(end, 1) for end in ends)


def test_both_orders_of_a_prompt_are_no_two_prompts() -> None:
    """256 prompts, 40 won twice by the answer shown first and 16 by the second: once [50.4, 58.9]."""
    pairs = [("win", "loss")] * 40 + [("loss", "win")] * 16 + [("win", "win")] * 200
    found = judging_quality(both_orders(pairs))
    assert found["first_shown_pct"] == pytest.approx(54.6875)
    assert interval(found) == (51.9, 57.5)


def test_draws_of_a_prompt_are_no_prompts() -> None:
    """100 prompts with ten draws alike, 60 % for the answer shown first: Wilson of 100, not of 1,000 (56.9, 63.0)."""
    frame = pd.concat([one_order(["win"] * 60 + ["loss"] * 40, draw=draw) for draw in range(10)])
    found = judging_quality(frame)
    assert interval(found) == (50.2, 69.1)
    assert interval(found) == tuple(round(100 * end, 1) for end in wilson(60, 100)[:2])


def test_orders_that_are_not_balanced_have_another_null_than_50() -> None:
    """A judge that sees content alone: 10 % wins, shown first in 60 % of the verdicts: 0.06 + 0.36 = 42 %."""
    first = np.repeat([True, False], [60, 40])
    won = np.concatenate([np.repeat([True, False], [6, 54]), np.repeat([True, False], [4, 36])])
    found = position(won, first, np.arange(100))
    assert found["first_shown_pct"] == pytest.approx(42) == found["first_shown_null_pct"]
    assert found["balanced_win_pct"] == pytest.approx(10)
