"""The words of the embedded world, and which answer is right for which topic.

dialogue.py and summary.py write texts from it, reward.py grades them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

WORLD_SEED = 20240217
"""Draws the right answer of each (topic, aspect). Changing it makes another world."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One (topic, aspect) of the dialogue world."""

    domain: str
    topic: str
    asks: tuple[str, ...]
    right: str
    """The sentence that answers correctly."""
    wrong: tuple[str, ...]
    """Sentences that answer the same question falsely (or, in a harmful domain, help to do harm)."""
    reasons: tuple[str, ...]
    harmful: bool


@cache
def words() -> dict[str, Any]:
    """The parsed lexicon.yaml."""
    return yaml.safe_load((Path(__file__).parent / "lexicon.yaml").read_text(encoding="utf-8"))


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact of the dialogue world, in the lexicon's order."""
    rng = random.Random(WORLD_SEED)
    found = []
    for domain, entry in words()["dialogue"]["domains"].items():
        harmful = entry.get("harmful", False)
        for aspect in entry["aspects"].values():
            for topic in entry["topics"]:
                answers = [aspect["frame"].format(t=topic, a=answer) for answer in aspect["answers"]]
                right = answers[0] if harmful else rng.choice(answers)
                found.append(
                    Fact(
                        domain=domain,
                        topic=topic,
                        asks=tuple(ask.format(t=topic) for ask in aspect["asks"]),
                        right=right,
                        wrong=tuple(answer for answer in answers if answer != right),
                        reasons=tuple(reason.format(t=topic) for reason in entry["reasons"]),
                        harmful=harmful,
                    )
                )
    return tuple(found)
