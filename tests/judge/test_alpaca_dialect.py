"""The local judge's answers to AlpacaEval, without a server: what it leaves to other dialects, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from prefrepro.judge.alpaca.package import comparisons, open_annotator, quiet
from prefrepro.judge.dialects.alpaca import answer
from prefrepro.judge.prompts import compose
from prefrepro.specs.evaluation import ANNOTATORS


def request(kind: str, instruction: str = "Q", first: str = "aa", second: str = "b") -> dict[str, Any]:
    """The package's own request, both answers in the order given."""
    with quiet():
        pairs = pd.DataFrame({"instruction": [instruction], "output_1": [first], "output_2": [second]})
        (comparison,) = comparisons(open_annotator(kind, "judge"), pairs)
    return comparison.request


def shorter(_history: str, response: str) -> float:
    return -float(len(response))


@pytest.mark.parametrize("kind", ANNOTATORS)
def test_the_scorer_sees_instruction_and_answers_as_they_were(kind: str) -> None:
    seen = []

    def score(history: str, response: str) -> float:
        seen.append((history, response))
        return 0.0

    assert answer(request(kind, ' an "odd"\n one ', "é\n\n", ' """,'), score, "seed") is not None
    assert sorted(seen) == sorted(
        [('\n<|user|>\n an "odd"\n one ', "é\n\n"), ('\n<|user|>\n an "odd"\n one ', ' """,')]
    )


@pytest.mark.parametrize("kind", ANNOTATORS)
def test_scores_without_a_number_are_refused(kind: str) -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="expected a finite number"):
            answer(request(kind), lambda _history, response, bad=bad: bad if response == "b" else 0.0, "seed")


@pytest.mark.parametrize("kind", ANNOTATORS)
def test_a_coin_decides_between_equals_by_the_seed_alone(kind: str) -> None:
    asked = request(kind, first="aa", second="bb")
    replies = [str(answer(asked, shorter, f"seed {number}")) for number in range(40)]
    assert replies[0] == str(answer(asked, shorter, "seed 0"))
    assert len(set(replies)) == 2


def test_log_probs_are_given_where_they_are_asked_for() -> None:
    asked = request("weighted")
    choice = answer(asked, shorter, "seed")
    assert choice is not None
    (word,) = choice["logprobs"]["content"]
    assert choice["message"]["content"] == word["token"]
    assert sum(math.exp(entry["logprob"]) for entry in word["top_logprobs"]) == pytest.approx(1)
    plain = answer({key: value for key, value in asked.items() if key != "logprobs"}, shorter, "seed")
    assert plain is not None
    assert "logprobs" not in plain


def test_other_messages_are_left_to_other_dialects() -> None:
    pairwise = compose("dialogue", "paper", "history", "a", "b")
    assert answer({"messages": pairwise}, shorter, "seed") is None
    assert answer({"messages": [{"role": "user", "content": "hello"}]}, shorter, "seed") is None
    assert answer({"messages": [{"role": "system", "content": ""}, {"role": "user"}]}, shorter, "seed") is None


def test_a_prompt_that_reads_in_two_ways_is_refused() -> None:
    inside = request("weighted", first="x", second="y")["messages"][1]["content"]
    with pytest.raises(ValueError, match="2 times in the prompt, expected 1"):
        answer(request("weighted", first=inside), shorter, "seed")
