"""Which pairs are made of a group of scored responses (Swepo, Appendix D)."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.data.select import select_pairs
from prefrepro.specs.settings import SELECTIONS

SCORES = st.lists(st.integers(0, 10).map(float), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("selection", "pairs"),
    [
        ("best_vs_worst", [(1, 3)]),
        ("best_vs_each", [(1, 0), (1, 2), (1, 3)]),
        ("all_pairs", [(1, 0), (1, 2), (1, 3), (0, 2), (0, 3), (2, 3)]),
    ],
)
def test_by_hand(selection: str, pairs: list[tuple[int, int]]) -> None:
    """Scores 7, 9, 4, 1: order 1, 0, 2, 3. One pair, k − 1 = 3, C(4, 2) = 6."""
    assert list(select_pairs([7, 9, 4, 1], selection, "x")) == pairs


@given(SCORES, st.sampled_from(SELECTIONS), st.text(max_size=3))
def test_the_preferred_one_has_the_higher_score_and_nothing_comes_twice(
    scores: list[float], selection: str, seed: str
) -> None:
    pairs = list(select_pairs(scores, selection, seed))
    assert all(scores[better] > scores[worse] for better, worse in pairs)
    assert len(set(pairs)) == len(pairs)
    assert pairs == list(select_pairs(scores, selection, seed))
    if len(set(scores)) == 1:
        assert pairs == []
    elif selection == "all_pairs":
        assert len(pairs) == sum(a != b for a, b in combinations(scores, 2))
    else:
        assert {better for better, _ in pairs} == {scores.index(max(scores))}


def test_a_random_partner_depends_on_the_seed() -> None:
    partners = {next(select_pairs([9, 1, 2, 3], "best_vs_random", str(seed)))[1] for seed in range(40)}
    assert partners == {1, 2, 3}
