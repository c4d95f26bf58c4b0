"""The embedded world's question sets: reproducible, held out, and gradable in every turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from prefrepro.data.splits import split_of
from prefrepro.data.template import prompt_id, render_history
from prefrepro.data.world.generate import preference_pairs
from prefrepro.data.world.lexicon import facts, words
from prefrepro.data.world.questions import STANDS_FOR, arena_questions, instruction_set, mt_bench_questions
from prefrepro.data.world.reward import find_fact, reward
from prefrepro.errors import UserError

Make = Callable[..., list[dict[str, Any]]]
PARTS = {"train": 0.85, "eval": 0.15}
SETS = pytest.mark.parametrize("make", [mt_bench_questions, arena_questions, instruction_set])


def held_out(identity: str) -> bool:
    return split_of(identity, PARTS, "prefrepro") == "eval"


@SETS
def test_a_set_is_a_function_of_its_seed(make: Make) -> None:
    rows = make(seed=1, n=60)
    assert make(seed=1, n=60) == rows
    assert make(seed=1, n=20) == rows[:20]
    assert make(seed=2, n=60) != rows
    assert len({row["prompt_id"] for row in rows}) == 60
    assert all(row["prompt_id"] == prompt_id(row["prompt"]) for row in rows)


@SETS
def test_what_is_not_held_out_is_not_asked(make: Make) -> None:
    """400 of 9,216 prompts, none of which is in the training part of the pairs."""
    pairs = itertools.islice(preference_pairs("dialogue", 0), 1000)
    trained = {identity for pair in pairs if not held_out(identity := prompt_id(pair["prompt"]))}
    rows = {row["prompt_id"]: row for row in make(0, 400, held_out)}
    assert len(rows) == 400 and len(trained) > 700
    assert not trained & set(rows)
    for row in make(0, 1000):
        assert rows.get(row["prompt_id"], row) == row, "what is drawn for a prompt depends on no other prompt"


@SETS
def test_too_many_questions_are_refused(make: Make) -> None:
    with pytest.raises(UserError, match="9217 questions are wanted, the embedded world has 9216 that are held out"):
        make(0, 9217)


def test_both_turns_can_be_graded() -> None:
    """Turn 2 asks another question about the same topic, whatever was answered to turn 1."""
    for row in mt_bench_questions(0, 300):
        first, second = row["turns"]
        history = render_history([{"role": "user", "content": first}])
        one = find_fact(history)
        assert one is not None and row["category"] == one.domain
        for said in (one.right, *one.wrong, ""):
            messages = [{"role": "user", "content": first}, {"role": "assistant", "content": said}]
            two = find_fact(render_history([*messages, {"role": "user", "content": second}]))
            assert two is not None and two.topic == one.topic and two != one
            assert reward(render_history([*messages, {"role": "user", "content": second}]), two.right) == 2.0
        if row["reference_answers"]:
            assert row["reference_answers"] == [one.right, two.right]


def test_categories_have_references_and_temperatures_of_their_own() -> None:
    rows = mt_bench_questions(0, 400)
    assert set(STANDS_FOR) == set(words()["dialogue"]["domains"]) == {row["category"] for row in rows}
    referenced = {row["category"] for row in rows if row["reference_answers"]}
    assert {STANDS_FOR[name] for name in referenced} == {"math", "reasoning", "coding"}
    assert {row["temperature"] for row in rows} == {0.0, 0.1, 0.7}
    assert len(set(STANDS_FOR.values())) == 8


def test_references_differ_in_quality() -> None:
    def mean(rows: list[dict[str, Any]], name: str) -> float:
        return sum(reward(render_history(row["prompt"]), row["references"][name]) for row in rows) / len(rows)

    instructions, arena = instruction_set(0, 300), arena_questions(0, 300)
    strong, weak = mean(instructions, "gpt4_turbo"), mean(instructions, "davinci003")
    assert strong > 2 > mean(arena, "gpt-4-0314") > weak
    assert all(row["references"]["gpt4_turbo"] != row["references"]["davinci003"] for row in instructions)
    assert all(row["instruction"] == row["prompt"][0]["content"] for row in instructions)
    assert {row["category"] for row in instructions} <= {fact.topic for fact in facts()}
