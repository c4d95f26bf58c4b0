"""Reading the filled-in text of a prompt back: the texts between its fixed parts."""

from __future__ import annotations

import hashlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prefrepro.judge.scorers import Scorer

HOLE = re.compile(r"\{(\w+)\}")
FORMS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text(encoding="utf-8"))
"""Prompts by dialect"""


class Form:
    """A text with {holes}; what stands before its first fixed part is of no account (an instruction, say)."""

    def __init__(self, template: str) -> None:
        self._parts = HOLE.split(template)[::2]
        self._bare = HOLE.sub("\0", template)
        holes = zip(HOLE.findall(template), self._parts[1:], strict=True)
        filled = "".join(f"(?P<{name}>.*){re.escape(part)}" for name, part in holes)
        self._pattern = re.compile(re.escape(self._parts[0]) + filled + r"\s*\Z", re.DOTALL)

    def read(self, text: str) -> dict[str, str] | None:
        """What fills each hole; None where the text is of another form.

        Raises ValueError where a fixed part is there too often, because an answer forges it: never a guess.
        """
        counts = {part: text.count(part) for part in self._parts}
        if not all(counts.values()):
            return None
        for part, often in counts.items():  # before the search, which many repetitions would make slow
            if often != (expected := self._bare.count(part)):
                raise ValueError(f"found {part.strip()!r} {often} times in the prompt, expected {expected}")
        found = self._pattern.search(text)
        return found.groupdict() if found else None


@cache
def form(template: str) -> Form:
    """The Form of a template, made once."""
    return Form(template)


def read_user_message(messages: list[dict[str, Any]], templates: tuple[str, ...]) -> dict[str, str] | None:
    """What fills the first template that fits the first user message, of a conversation that a system message opens."""
    if [message.get("role") for message in messages[:2]] != ["system", "user"]:
        return None
    content = messages[1].get("content")
    if not isinstance(content, str):
        return None
    for template in templates:
        if filled := form(template).read(content):
            return filled
    return None


def scored(score: Scorer, history: str, response: str) -> float:
    """The scorer's number. Raises ValueError where it is not finite."""
    value = score(history, response)
    if not math.isfinite(value):
        raise ValueError(f"the scorer gave {value}, expected a finite number")
    return value


def coin(seed_text: str) -> bool:
    """Heads for half of all texts, the same for the same text."""
    return hashlib.sha256(seed_text.encode()).digest()[0] % 2 == 0


def say(text: str) -> dict[str, Any]:
    """choices[0] of a text reply."""
    return {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
