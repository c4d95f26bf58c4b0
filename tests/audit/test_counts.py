"""Which counts a printed percentage can be: by hand, by brute force, and docs/judging.md#printed-counts."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefrepro.studies.audit.counts import Count, chance, counts, fewer, status


@pytest.mark.parametrize(
    ("percent", "n", "expected"),
    [
        (78.52, 256, ["201/256"]),
        (72.26, 256, ["185/256 truncated"]),
        (74.60, 256, ["191/256 truncated"]),
        (74.61, 256, ["191/256"]),
        (45.90, 256, ["117.5/256"]),
        (45.90, 512, ["235/512"]),
        (67.78, 256, []),
        (67.78, 512, []),
        (31.24, 805, ["251.5/805"]),
        (38.88, 805, ["313/805"]),
        (38.88, 800, ["311/800"]),
        (0.0, 256, ["0/256"]),
        (100.0, 256, ["256/256"]),
    ],
)
def test_counts_by_hand(percent: float, n: int, expected: list[str]) -> None:
    assert [str(count) for count in counts(percent, 2, n)] == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.data(), st.sampled_from([0, 1, 2]))
def test_every_rate_is_found_again_rounded_and_cut(n: int, data: st.DataObject, decimals: int) -> None:
    halves = data.draw(st.integers(0, 2 * n))
    exact = Decimal(50 * halves) / n
    for rounding in (ROUND_HALF_UP, ROUND_DOWN):
        printed = float(exact.quantize(Decimal(1).scaleb(-decimals), rounding=rounding))
        assert any(count.wins == halves / 2 for count in counts(printed, decimals, n))


@given(st.integers(0, 10_000), st.sampled_from([256, 512, 800, 805]))
def test_what_is_found_prints_as_the_number(value: int, n: int) -> None:
    for count in counts(value / 100, 2, n):
        exact = 100 * count.wins / n
        assert 0 <= count.wins <= n
        assert abs(exact - value / 100) <= (0.005 if count.how == "rounded" else 0.01) + 1e-9


def test_status_by_hand() -> None:
    """67.78 is nothing of 256; 30.84 is nothing of 800, but 245.5 of 796 where verdicts may be dropped."""
    assert [status(*number, 256) for number in ((72.26, 2), (45.90, 2), (67.78, 2))] == ["count", "half", "impossible"]
    assert (status(30.84, 2, 800), status(30.84, 2, 800, may_drop=True)) == ("impossible", "fewer")
    assert Count(245.5, 796, "rounded") in fewer(30.84, 2, 800)


def test_alpaca_eval_of_table_4_and_6_fits_795_to_800() -> None:
    """docs/judging.md#rpo-on-alpacaeval, and that PPO, IPO and KTO, rounded, are impossible for 801 to 805."""
    published = {13.68: (109, 797), 15.00: (120, 800), 21.62: (173, 800), 30.84: (245.5, 796), 15.06: (120.5, 800),
                 31.24: (249, 797), 38.88: (311, 800), 35.47: (282, 795)}  # fmt: skip
    for percent, (wins, n) in published.items():
        assert wins in [count.wins for count in counts(percent, 2, n)], percent
    for percent in (15.00, 21.62, 15.06):
        assert not [c for n in range(801, 806) for c in counts(percent, 2, n) if c.how == "rounded"], percent


def test_a_fit_says_more_where_few_numbers_fit() -> None:
    """Of 256 there are 257 rounded numbers, and those that only a cut gives: between 2.5 and 5.2 % of 10,001."""
    assert 0.025 < chance(2, 256)[0] < 0.052 < chance(2, 805)[0] < 0.165
    assert chance(0, 256)[0] == 1
    assert [round(100 * share) for share in chance(2, 800, may_drop=True)] == [12, 92]
