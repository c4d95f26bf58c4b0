"""«Response 1» or «Response 2», to the prompts of compare.py and of the protocol `robust`."""

from __future__ import annotations

import math
from typing import Any

from prefrepro.judge.dialects._forms import coin, say
from prefrepro.judge.prompts import NOUNS, UnknownPromptError, parse_back
from prefrepro.judge.scorers import Scorer


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """The better scored answer; a coin where both are equal and the prompt knows no tie. Raises ValueError."""
    try:
        shown = parse_back(request["messages"])
    except UnknownPromptError:
        return None
    history = shown.history
    if history.startswith("<|"):
        history = "\n" + history  # the template's leading newline, which the prompt strips
    first, second = score(history, shown.first), score(history, shown.second)
    if not (math.isfinite(first) and math.isfinite(second)):
        raise ValueError(f"the scorer gave {first} and {second}, expected finite numbers")
    if first == second and shown.protocol == "robust":
        return say("Tie")
    wins_first = coin(seed_text) if first == second else first > second
    return say(f"{NOUNS[shown.template]} {1 if wins_first else 2}")
