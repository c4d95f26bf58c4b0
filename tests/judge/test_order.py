"""Which response the judge sees first."""

from __future__ import annotations

import random

import pytest

from prefrepro.judge.pairwise import paper_order


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_paper_order_is_that_of_the_global_generator(seed: int) -> None:
    """compare.py seeds the global generator; ours gives the same order and leaves that one alone."""
    random.seed(seed)
    models, expected = ["candidate", "baseline"], []
    for _ in range(100):
        random.shuffle(models)
        expected.append(models[0] == "candidate")
    state = random.getstate()
    assert paper_order(100, seed) == expected
    assert random.getstate() == state


def test_paper_order_puts_the_candidate_first_122_times_of_256() -> None:
    """docs/judging.md#judge."""
    assert sum(paper_order(256)) == 122
