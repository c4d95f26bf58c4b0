"""«Rating: [[7]]», to the single-grading prompts of MT-Bench, released or ours: they share the frame of the answers.

The second turn is rated with the first in its history. Reference answers are not looked at: the scorer knows better.
"""

from __future__ import annotations

from typing import Any

from prefrepro.data.template import render_history
from prefrepro.judge.dialects._forms import FORMS, read_user_message, say, scored
from prefrepro.judge.scorers import Scorer

FRAMES: tuple[str, ...] = tuple(FORMS["mt_bench"])


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """The rating of the last answer shown. Raises ValueError."""
    del seed_text  # nothing is left to a coin
    shown = read_user_message(request["messages"], FRAMES)
    if shown is None:
        return None
    messages = [{"role": "user", "content": shown["question_1"]}]
    response = shown["answer_1"]
    if "question_2" in shown:
        messages += [{"role": "assistant", "content": response}, {"role": "user", "content": shown["question_2"]}]
        response = shown["answer_2"]
    return say(f"Rating: [[{rating(scored(score, render_history(messages), response))}]]")


def rating(value: float) -> int:
    """6 + 1.5 · score, to the nearest whole number of 1..10: the scale of the embedded world's ranked groups.

    There a bare right answer (2.0) gets 9, one that says nothing of the matter (0) 6, a wrong one (-1.0) 4.
    """
    return min(10, max(1, round(6 + 1.5 * value)))
