"""Which rows make which step: once per epoch, in an order of (seed, epoch) alone, shared by methods of one seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.contract import Needs
from prefrepro.model.batches import Rows, first_of_each_prompt, step_rows, steps_per_epoch
from prefrepro.model.examples import Pairs, Tokens

PAIRED = Needs(shape="paired")
DEMONSTRATIONS = Needs(shape="unpaired", reference=False, rows="demonstrations")
BALANCED = Needs(shape="unpaired", rows="balanced")


def pairs_of(prompt_ids: list[str]) -> Pairs:
    tokens = [Tokens([1], [2]) for _ in prompt_ids]
    return Pairs(tokens, tokens, prompt_ids, {})


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3), st.integers(0, 9))
def test_every_pair_comes_once_in_an_epoch_but_for_the_last_partial_batch(
    n: int, batch_size: int, epoch: int, seed: int
) -> None:
    pairs = pairs_of([str(number) for number in range(n)])
    per_epoch = steps_per_epoch(pairs.prompt_ids, PAIRED, batch_size)
    assert per_epoch == n // batch_size
    rows_of = step_rows(pairs.prompt_ids, PAIRED, batch_size, seed)
    steps = [rows_of(step) for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)]
    served = [row for rows in steps for row in rows.chosen]
    assert all(len(rows.chosen) == batch_size and rows.rejected == rows.chosen for rows in steps)
    assert len(set(served)) == len(served) == n - n % batch_size


@pytest.mark.parametrize("needs", [PAIRED, BALANCED])
def test_the_order_depends_on_seed_and_epoch_alone(needs: Needs) -> None:
    """Asked forwards, backwards or from step 30 on after a kill: the same rows."""
    pairs = pairs_of([str(number) for number in range(20)])
    forwards = step_rows(pairs.prompt_ids, needs, 4, seed=1)
    rows = [forwards(step) for step in range(40)]
    backwards, resumed = step_rows(pairs.prompt_ids, needs, 4, seed=1), step_rows(pairs.prompt_ids, needs, 4, seed=1)
    assert [backwards(step) for step in reversed(range(40))][::-1] == rows
    assert [resumed(step) for step in range(30, 40)] == rows[30:]

    other = step_rows(pairs.prompt_ids, needs, 4, seed=2)
    assert [other(step) for step in range(5)] != rows[:5]
    assert rows[:5] != rows[5:10], "each epoch has an order of its own"


def test_methods_of_one_seed_share_their_order() -> None:
    """Paired methods see the same pairs; a balanced method draws the same chosen side."""
    pairs = pairs_of([str(number) for number in range(20)])
    contrastive = Needs(shape="paired", reference=False, gather=True, embeddings="prompt")
    functions = [step_rows(pairs.prompt_ids, needs, 4, seed=1) for needs in (PAIRED, contrastive, BALANCED)]
    for step in range(12):
        one, other, balanced = (function(step) for function in functions)
        assert one == other
        assert balanced.chosen == one.chosen


def test_demonstrations_are_the_first_row_of_each_prompt() -> None:
    names = ["b", "a", "b", "c", "a", "b", "d"]
    assert sorted(first_of_each_prompt(names)) == [0, 1, 3, 6]
    rows_of = step_rows(pairs_of(names).prompt_ids, DEMONSTRATIONS, 2, seed=0)
    assert steps_per_epoch(pairs_of(names).prompt_ids, DEMONSTRATIONS, 2) == 2
    steps = [rows_of(step) for step in (0, 1)]
    assert sorted(row for rows in steps for row in rows.chosen) == [0, 1, 3, 6]
    assert all(rows.rejected == [] for rows in steps)


@given(st.lists(st.sampled_from("abcdef"), max_size=20))
def test_first_of_each_prompt_finds_first_rows(names: list[str]) -> None:
    assert sorted(first_of_each_prompt(names)) == sorted(names.index(name) for name in set(names))


def test_balanced_draws_take_each_side_once_and_apart() -> None:
    pairs = pairs_of([str(number) for number in range(24)])
    rows_of = step_rows(pairs.prompt_ids, BALANCED, 6, seed=0)
    steps = [rows_of(step) for step in range(4)]
    assert all(len(rows.chosen) == len(rows.rejected) == 6 for rows in steps)
    assert any(rows.chosen != rows.rejected for rows in steps)
    for side in ("chosen", "rejected"):
        assert sorted(row for rows in steps for row in getattr(rows, side)) == list(range(24))


def test_groups_are_consecutive_and_keep_sides_of_any_length() -> None:
    rows = Rows(list(range(5)), list(range(10, 13)))
    assert list(rows.groups(2)) == [Rows([0, 1], [10, 11]), Rows([2, 3], [12]), Rows([4], [])]
    assert list(rows.groups(5)) == [rows]
    assert [list(group.chosen) for group in Rows.mixed([0, 3, 2, 5]).groups(2)] == [[0], [1]], "two responses each"
    assert list(Rows([1, 2, 3], []).groups(2)) == [Rows([1, 2], []), Rows([3], [])]
    assert list(Rows([], []).groups(2)) == []
