"""The judge's own variance, by hand and by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stats_helpers import one_order, ratings

from prefrepro.stats.repeats import repeat_quality

WORDS = {"w": ("win", 1.0), "l": ("loss", 0.0), "t": ("tie", 0.5), "x": ("invalid", None)}


def entry(replies: str, weights: tuple[float, ...] | None = None) -> dict[str, Any]:
    verdicts, scores = zip(*(WORDS[letter] for letter in replies), strict=True)
    return {"verdict": list(verdicts), "score": list(scores), "weight": list(weights or (1.0,) * len(replies))}


def test_flips_and_variance_by_hand() -> None:
    """wwlw: 3 of 6 pairs differ, variance 1/4; wwww: none. 8 verdicts of 4 wins: Σ u² = 8/4, times 8/7: 16/7.

    The judge's part is 8 · 1/8 of it: 1 / (16/7) = 43.75 %.
    """
    found = repeat_quality(one_order(["win"] * 4 + ["loss"] * 4), [entry("wwlw"), entry("wwww")])
    assert (found["n_repeated"], found["n_repeats"]) == (2, 6)
    assert (found["flip_pct"], found["judge_variance"]) == (pytest.approx(25), pytest.approx(1 / 8))
    assert found["judge_share_pct"] == pytest.approx(43.75)
    assert found["flip_ci_low"] < 25 < found["flip_ci_high"]


def test_an_invalid_reply_is_a_flip_and_has_no_variance() -> None:
    found = repeat_quality(one_order(["win", "loss"]), [entry("wx"), entry("ww")])
    assert (found["flip_pct"], found["judge_variance"]) == (50, 0)
    none = repeat_quality(one_order(["invalid"]), [entry("xx")])
    assert (none["flip_pct"], none["judge_variance"], none["judge_share_pct"]) == (0, None, None)


def test_ratings_flip_by_their_number() -> None:
    """8, 8, 9: two of three pairs differ; on 0..1 a ninth apart, variance 1/243."""
    rated = {"verdict": ["rated"] * 3, "score": [8.0, 8.0, 9.0], "weight": [1.0] * 3}
    found = repeat_quality(ratings([(8, 6), (7, 3)]), [rated])
    assert (found["flip_pct"], found["judge_variance"]) == (pytest.approx(200 / 3), pytest.approx(1 / 243))


def test_clear_verdicts_weigh_three_times_in_the_variance() -> None:
    """Mean 1/2, replies ± 3/2: variance 9/2 between a clear win and a clear loss."""
    frame = one_order(["win", "loss"]).assign(weight=3.0)
    assert repeat_quality(frame, [entry("wl", (3.0, 3.0))])["judge_variance"] == pytest.approx(4.5)


def test_nothing_asked_again_is_none() -> None:
    found = repeat_quality(one_order(["win"]), [])
    assert found.pop("n_repeated") == found.pop("n_repeats") == 0
    assert set(found.values()) == {None}


@pytest.mark.parametrize(("requests", "low"), [(26, 0.92), (80, 0.93)])
@pytest.mark.parametrize("spread", [(30.0, 70.0), (1.0, 1.0), (0.1, 0.3)])
def test_intervals_cover(requests: int, low: float, spread: tuple[float, float]) -> None:
    """A judge that wins each request at a rate of its own, Beta(a, b), asked four times; 400 runs, ± 1.1 points.

    Flips: E 2p(1 - p) = 2ab / ((a + b)(a + b + 1)). The share: half of that over m(1 - m), m = a / (a + b).
    """
    rng, runs, (a, b) = np.random.default_rng(7), 400, spread
    flip = 200 * a * b / ((a + b) * (a + b + 1))
    share = 100 * (a + b) / (a + b + 1)
    assert share == pytest.approx(flip / 2 / (a * b / (a + b) ** 2))
    flips = shares = 0
    for _ in range(runs):
        rates = rng.beta(a, b, 10 * requests)
        won = rng.random((4, len(rates))) < rates
        frame = one_order(np.where(won[0], "win", "loss").tolist())
        again = [entry("".join("lw"[int(one)] for one in replies)) for replies in won.T[:requests]]
        found = repeat_quality(frame, again)
        flips += found["flip_ci_low"] <= flip <= found["flip_ci_high"]
        shares += found["judge_share_ci_low"] <= share <= found["judge_share_ci_high"] + 1e-9
    assert flips / runs >= low
    assert shares / runs >= low - 0.02
