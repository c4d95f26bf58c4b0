"""Which of a row's responses are labelled better than which others, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from prefrepro.data.comparisons import Comparison, comparisons, responses_of

PAIR = {"prompt_id": "a", "prompt": [], "chosen": "yes", "rejected": "no"}


def group(scores: list[float], prompt_id: str = "g", **more: Any) -> dict[str, Any]:
    return {
        "prompt_id": prompt_id,
        "completions": [f"text {n}" for n, _ in enumerate(scores)],
        "scores": scores,
        **more,
    }


def test_pairs_of_one_prompt_are_numbered_and_have_no_best_of_a_group() -> None:
    found, counts = comparisons([PAIR, PAIR | {"prompt_id": "b"}, PAIR])
    assert found == [
        Comparison("a", 0, "pair", 0, [0], [1]),
        Comparison("b", 0, "pair", 1, [0], [1]),
        Comparison("a", 1, "pair", 2, [0], [1]),
    ]
    assert counts == {"rows": 3, "pairs": 3, "label_ties": 0, "groups_all_best": 0}
    assert responses_of(PAIR) == ["yes", "no"]


def test_a_group_gives_its_unequal_pairs_and_its_best_responses() -> None:
    """Scores 2, 5, 5, 1: of six pairs one is a tie; two responses are the best."""
    found, counts = comparisons([group([2, 5, 5, 1])])
    pairs = {(*one.better, *one.worse) for one in found if one.order == "pair"}
    assert pairs == {(1, 0), (2, 0), (1, 3), (2, 3), (0, 3)}
    assert sorted(one.draw for one in found if one.order == "pair") == [0, 1, 2, 3, 4]
    assert found[-1] == Comparison("g", 0, "top_1", 0, [1, 2], [0, 3])
    assert counts == {"rows": 1, "pairs": 5, "label_ties": 1, "groups_all_best": 0}


def test_human_preferences_go_before_scores() -> None:
    """They may run against the scores, and leave out what people found equal."""
    found, counts = comparisons([group([3, 1, 0], preferences=[[0, 1], [2, 1]])])
    assert [(one.better, one.worse) for one in found] == [([0], [1]), ([2], [1]), ([0], [1, 2])]
    assert counts == {"rows": 1, "pairs": 2, "label_ties": 1, "groups_all_best": 0}
    assert comparisons([group([3, 1], preferences=[])])[1]["label_ties"] == 1


@pytest.mark.parametrize("n", [2, 4])
def test_a_group_of_equals_says_nothing_and_is_counted(n: int) -> None:
    found, counts = comparisons([group([7.0] * n)])
    assert found == []
    assert counts == {"rows": 1, "pairs": 0, "label_ties": n * (n - 1) // 2, "groups_all_best": 1}
