"""«[[A>>B]]» and so on, to the prompt of Arena-Hard v0.1, released or ours: they share the frame around the answers."""

from __future__ import annotations

from typing import Any

from prefrepro.data.template import render_history
from prefrepro.judge.dialects._forms import FORMS, read_user_message, say, scored
from prefrepro.judge.scorers import Scorer

CLEARLY = 2.0
"""From this difference of scores on an answer is much better: in the embedded world what a right answer is worth."""
ALIKE = 0.25
"""Below this difference it is a tie: half of what one polite formula costs in the embedded world."""


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """A verdict, also where the judgment is to be continued. Raises ValueError."""
    del seed_text  # nothing is left to a coin: there are ties
    shown = read_user_message(request["messages"], (FORMS["arena_hard"],))
    if shown is None:
        return None
    history = render_history([{"role": "user", "content": shown["question"]}])
    difference = scored(score, history, shown["answer_a"]) - scored(score, history, shown["answer_b"])
    return say(f"My final verdict is: [[{label(difference)}]]")


def label(difference: float) -> str:
    """The verdict for assistant A's score less assistant B's."""
    if abs(difference) < ALIKE:
        return "A=B"
    sign = ">>" if abs(difference) >= CLEARLY else ">"
    return f"A{sign}B" if difference > 0 else f"B{sign}A"
