"""Every metric: value, interval, counts and paired test by hand, in its own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from stats_helpers import both_orders, one_order, ratings, shares

from prefrepro.errors import UserError
from prefrepro.specs import table as table_spec
from prefrepro.stats.intervals import wilson
from prefrepro.stats.metrics import METRICS, Summary, VerdictSet, against_printed, compare, estimates, summarise

NAN = float("nan")


def plain(frame: pd.DataFrame) -> VerdictSet:
    return VerdictSet(frame, {})


def lc(value: float, replicates: Any, name: str = "lc_wr") -> VerdictSet:
    return VerdictSet(shares([0.2, 0.5, NAN]), {name: {"value": value, "replicates": list(replicates), "n": 3}})


def bounds(found: Summary) -> tuple[float | None, float | None]:
    return found.ci_low, found.ci_high


def test_table_specs_name_metrics_that_there_are() -> None:
    assert set(table_spec.METRICS) <= set(METRICS)


def test_paper_win_rate_is_wins_over_all_attempts() -> None:
    """RPO Table 1, paired RPO: 201 wins of 256 with 5 replies that name no answer, 78.52 %."""
    found = summarise("win_rate_pct", [plain(one_order(["win"] * 201 + ["loss"] * 50 + ["invalid"] * 5))], "paper")
    assert found.value is not None and round(found.value, 2) == 78.52
    assert bounds(found) == pytest.approx([100 * bound for bound in wilson(201, 256)[:2]])
    assert (found.ci_method, found.n, found.n_tie, found.n_invalid) == ("wilson", 256, 0, 5)


def test_robust_win_rate_by_hand() -> None:
    """1 + 0 + 0.5 + 0.5 + 0.5 over five prompts = 50 %; the sixth and seventh leave the rate, and show."""
    pairs = [("win", "win"), ("loss", "loss"), ("win", "loss"), ("tie", "win"), ("tie", "tie")]
    found = summarise(
        "win_rate_pct", [plain(both_orders([*pairs, ("invalid", "win"), ("invalid", "invalid")]))], "robust"
    )
    assert found.value == pytest.approx(50)
    assert (found.ci_method, found.n, found.n_tie, found.n_invalid) == ("wilson_prompts", 7, 3, 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["win", "loss", "tie"]), min_size=1, max_size=12))
def test_swapping_the_sides_mirrors_the_robust_rate(words: list[str]) -> None:
    swap = {"win": "loss", "loss": "win", "tie": "tie"}
    there, back = ([(word, word) for word in side] for side in (words, [swap[word] for word in words]))
    rate, mirrored = (summarise("win_rate_pct", [plain(both_orders(side))], "robust") for side in (there, back))
    assert rate.value is not None and mirrored.value is not None
    assert rate.value + mirrored.value == pytest.approx(100)


def test_alpaca_win_rate_by_hand() -> None:
    """RPO Table 4: 31.24 % of 805 is 251.5 wins, so there was a tie; an invalid verdict leaves the rate."""
    scores = [1.0] * 251 + [0.5] + [0.0] * 553
    found = summarise("wr", [plain(shares([*scores, NAN]))], "paper")
    assert found.value is not None and round(found.value, 2) == 31.24
    assert (found.ci_method, found.n, found.n_tie, found.n_invalid) == ("wilson_prompts", 806, 1, 1)
    binary = summarise("wr", [plain(shares([1.0] * 313 + [0.0] * 492))], "paper")
    assert (round(binary.value or 0, 2), binary.ci_method) == (38.88, "wilson")


def test_mt_bench_by_hand() -> None:
    """(8 + 6) / 2 = 7 and (10 + 9) / 2 = 9.5 average to 8.25, in ratings and not in percent."""
    found = summarise("mt_bench", [plain(ratings([(8, 6), (10, 9)]))], "paper")
    assert found.value == pytest.approx(8.25)
    low, high = bounds(found)
    assert low is not None and high is not None and 1 <= low < 7 and 9 < high <= 10
    assert (found.ci_method, found.n) == ("wilson_prompts", 2)


def test_equal_ratings_are_no_certainty() -> None:
    low, high = bounds(summarise("mt_bench", [plain(ratings([(10, 10)] * 80))], "paper"))
    assert high == pytest.approx(10) and low == pytest.approx(1 + 9 * wilson(80, 80).low) and low != high


def test_lc_is_taken_as_it_was_fitted() -> None:
    """25.2 with refits that spread by 4: Wilson of 25.2 · 74.8 / 16 = 117.8 prompts; counts are the verdicts'."""
    found = summarise("lc_wr", [lc(25.2, [25.2 - 4, 25.2 + 4] * 50)], "paper")
    n = 25.2 * 74.8 / 16
    assert bounds(found) == pytest.approx([100 * end for end in wilson(0.252 * n, n)[:2]])
    assert found == Summary(25.2, found.ci_low, found.ci_high, "refit", 3, 1, 1)
    assert summarise("arena_hard_pct", [lc(60, range(101), "arena_hard_pct")], "paper").value == 60


def test_lc_of_the_reference_itself_is_50_and_of_nothing_but_wins_not_certain() -> None:
    itself, wins = (summarise("lc_wr", [lc(at, [at] * 20)], "paper") for at in (50, 100))
    assert bounds(itself) == (50, 50)
    assert bounds(wins) == pytest.approx([100 * end for end in wilson(3, 3)[:2]])


def test_lc_over_seeds_is_wider_than_each() -> None:
    """Two trainings 20 points apart: their mean, and an interval that knows the distance."""
    moves = np.linspace(-1, 1, 101)
    single, both = (summarise("lc_wr", [lc(v, v + moves) for v in values], "paper") for values in ((20,), (20, 40)))
    assert both.value == pytest.approx(30) and both.ci_low is not None and 0 <= both.ci_low < 5
    assert single.ci_low is not None and single.ci_low > 18.8 and both.ci_method == "refit"


def test_several_seeds_pool_and_name_their_interval() -> None:
    sets = [plain(one_order(["win"] * k + ["loss"] * (20 - k))) for k in (12, 15, 18)]
    found = summarise("win_rate_pct", sets, "paper")
    assert found.value == pytest.approx(75)
    assert (found.n, found.ci_method) == (20, "wilson_seeds_prompts")
    low, high = bounds(found)
    assert low is not None and high is not None and 0 <= low < 60 < 85 < high <= 100


@pytest.mark.parametrize("others", [[], [plain(both_orders([("win", "win")] * 4))]])
def test_no_valid_verdict_is_no_number(others: list[VerdictSet]) -> None:
    found = summarise("win_rate_pct", [plain(both_orders([("invalid", "win")] * 4)), *others], "robust")
    assert found == Summary(None, None, None, None, 4, 0, 4)
    base = [plain(both_orders([("win", "win")] * 4))]
    assert compare("win_rate_pct", [plain(both_orders([("invalid", "win")] * 4))], base, "robust") is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["win", "loss", "tie", "invalid"]), min_size=1, max_size=20),
    st.sampled_from(["win_rate_pct", "wr"]),
)
def test_the_value_lies_in_its_interval(words: list[str], metric: str) -> None:
    found = summarise(metric, [plain(one_order(words))], "paper")
    if found.value is None or found.ci_low is None or found.ci_high is None:
        assert metric == "wr" and found.n_invalid == found.n == len(words)
    else:
        assert 0 <= found.ci_low <= found.value + 1e-9 and found.value <= found.ci_high + 1e-9 <= 100 + 1e-9


def test_compare_uses_only_prompts_that_both_are_counted_on() -> None:
    """`wr` leaves c and d out, invalid on one side; a and b are won by the first alone: p = 2 · 1/4."""
    own = one_order(["win", "win", "win", "invalid", "loss"])
    base = one_order(["loss", "loss", "invalid", "win", "loss"])
    found = compare("wr", [plain(own)], [plain(base)], "paper")
    assert found is not None and (found.n, found.method, found.p) == (3, "tango", pytest.approx(0.5))
    assert found.value == pytest.approx(100 * 2 / 3)
    other = base.assign(prompt_id="q" + base["prompt_id"])
    assert compare("wr", [plain(own)], [plain(other)], "paper") is None


@pytest.mark.parametrize(
    ("only_first", "only_second", "invalid", "shown", "p"),
    [(18, 12, 5, 2.34, 0.36), (7, 7, 7, 0.0, 1.0)],
)
def test_protocol_paper_tests_the_numbers_that_the_table_shows(
    only_first: int, only_second: int, invalid: int, shown: float, p: float
) -> None:
    """An invalid verdict is not won in the rate, so it is not won in the test; left out, p was 0.043 and 0.016."""
    rest = 256 - only_first - only_second
    own = ["win"] * only_first + ["invalid"] * invalid + ["loss"] * (only_second - invalid) + ["win"] * rest
    base = ["loss"] * only_first + ["win"] * only_second + ["win"] * rest
    mine, theirs = ([plain(one_order(words))] for words in (own, base))
    rates = [summarise("win_rate_pct", side, "paper").value for side in (mine, theirs)]
    found = compare("win_rate_pct", mine, theirs, "paper")
    assert found is not None and None not in rates
    assert found.value == pytest.approx((rates[0] or 0) - (rates[1] or 0)) == pytest.approx(shown, abs=0.005)
    assert found.p == pytest.approx(p, abs=0.005) and found.n == 256


def test_compare_paper_counts_a_tie_as_not_won() -> None:
    found = compare("win_rate_pct", [plain(one_order(["win", "tie"]))], [plain(one_order(["tie", "loss"]))], "paper")
    assert found is not None and found.value == pytest.approx(50)


def test_compare_in_ratings() -> None:
    base = ratings([(5, 5), (6, 7), (4, 8), (9, 3)] * 10)
    found = compare("mt_bench", [plain(base.assign(score=base["score"] + 1))], [plain(base)], "paper")
    assert found is not None and (found.value, found.ci_low, found.method) == (
        pytest.approx(1),
        pytest.approx(1),
        "t_prompts",
    )


def test_compare_lc_by_its_paired_replicates() -> None:
    """Replicates that share the prompts cancel: 3 ± √2 · 0.1 is certain although each alone spreads by 5."""
    rng = np.random.default_rng(5)
    shared, own, other = rng.normal(0, 5, 300), rng.normal(0, 0.1, 300), rng.normal(0, 0.1, 300)
    found = compare("lc_wr", [lc(23, 23 + shared + own)], [lc(20, 20 + shared + other)], "paper")
    assert found is not None and found.method == "t_refit" and found.n == 3
    error = np.std(own - other) * (3 / 2) ** 0.5
    assert found.value == pytest.approx(3) and found.ci_low > 2.2
    assert found.p == pytest.approx(2 * student.sf(3 / error, 2))
    seeds = compare("lc_wr", [lc(23, 23 + shared), lc(24, 24 + shared)], [lc(20, 20 + shared)], "paper")
    assert seeds is not None and seeds.value == pytest.approx(3.5) and 0.05 < seeds.p < 0.3


@pytest.mark.parametrize(("printed", "status"), [(33.0, "consistent"), (36.0, "differs")])
def test_a_fitted_number_against_the_print(printed: float, status: str) -> None:
    """30 with refits that spread by 1.5: consistent within 1.96 · √2 · 1.5 = 4.16 points."""
    found = against_printed("lc_wr", [lc(30, [28.5, 31.5] * 50)], "paper", printed)
    assert found is not None and found.status == status
    assert found.high - found.value == pytest.approx(4.158, abs=0.001)


def test_wins_against_the_print() -> None:
    """201 of 256, once: 71.09 is the least that is consistent with it, and 182 wins are that."""
    sets = [[plain(one_order(["win"] * k + ["loss"] * (256 - k)))] for k in (181, 182)]
    gaps = [against_printed("win_rate_pct", one, "paper", 78.52) for one in sets]
    assert [gap and gap.status for gap in gaps] == ["differs", "consistent"]
    twice = against_printed("win_rate_pct", [*sets[0], *sets[1]], "paper", 78.52)
    assert twice is not None and twice.value == pytest.approx(100 * 181.5 / 256 - 78.52)
    assert against_printed("win_rate_pct", [plain(both_orders([("invalid", "win")] * 4))], "robust", 50.0) is None
    assert estimates("win_rate_pct", sets[0], "paper") is not None


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([plain(shares([0.5]))], "verdict set v has no lc_wr, only verdicts. Name a metric of its evaluation"),
        ([lc(20, [1.0])], "lc_wr wants several replicates, each finite"),
        ([lc(20, [1.0, NAN])], "verdict set v: lc_wr wants several replicates, each finite"),
        ([lc(20, [1, 2]), lc(20, [1, 2, 3])], "lc_wr has another number of replicates in verdict sets v; v"),
    ],
)
def test_fitted_numbers_that_are_not_there_are_refused(sets: list[VerdictSet], said: str) -> None:
    with pytest.raises(UserError) as caught:
        summarise("lc_wr", sets, "paper")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "unfit",
    [
        VerdictSet(shares([0.2, NAN]), {"lc_wr": {"value": None, "replicates": [], "reason": "1 of 2 is invalid"}}),
        VerdictSet(shares([NAN, NAN]), {}),
    ],
)
def test_a_fit_that_gave_a_reason_instead_is_no_number(unfit: VerdictSet) -> None:
    found = summarise("lc_wr", [lc(20, [1, 2]), unfit], "paper")
    assert (found.value, found.ci_method, found.n) == (None, None, 3)
    assert compare("lc_wr", [lc(20, [1, 2])], [unfit], "paper") is None


def test_a_replicate_without_a_valid_verdict_says_nothing_new() -> None:
    assert summarise("lc_wr", [lc(5, [4, None, 6])], "paper") == summarise("lc_wr", [lc(5, [4, 5, 6])], "paper")


def test_what_cannot_be_paired_or_is_unknown_is_refused() -> None:
    with pytest.raises(UserError, match="2 replicates in verdict set v and 3 in v: they cannot be paired"):
        compare("lc_wr", [lc(1, [1, 2])], [lc(1, [1, 2, 3])], "paper")
    with pytest.raises(UserError, match=r"'lc_w' is unknown\. Known: .* Did you mean lc_wr?"):
        summarise("lc_w", [], "paper")
