"""Files of preferences as three new users have them: 300 rows each, of our own words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLANTS = ("fern", "moss", "ivy", "cactus", "aloe", "orchid", "begonia", "palm", "mint", "basil", "rose", "lily")
ASKED = ("How often do I water my {plant}", "Where should I put my {plant}", "Why does my {plant} look pale")
WHEN = ("in winter", "in summer", "after a holiday", "in a small flat", "near a window", "in dry air", "in clay soil")
GOOD = ("Look at the soil first: water it when the top is dry.", "Give it bright light, but no sun at noon.")
BAD = ("No idea.", "Plants are plants.", "Ask somebody else about your {plant}.")
FORMS = ("trl", "implicit", "sharegpt")


def pairs(n: int) -> Iterator[tuple[str, str, str]]:
    """(question, better answer, worse answer)"""
    drawn = random.Random(7)
    for number in range(n):
        plant = drawn.choice(PLANTS)
        question = f"{drawn.choice(ASKED)} {drawn.choice(WHEN)} (question {number})?".format(plant=plant)
        good = f"{drawn.choice(GOOD)} That suits your {plant}."
        yield question, good, drawn.choice(BAD).format(plant=plant)


def row_of(form: str, question: str, good: str, bad: str) -> dict[str, Any]:
    asked = [{"role": "user", "content": question}]
    if form == "sharegpt":
        said = {side: {"from": "gpt", "value": text} for side, text in (("chosen", good), ("rejected", bad))}
        return {"conversations": [{"from": "human", "value": question}], **said}
    answers = {side: [{"role": "assistant", "content": text}] for side, text in (("chosen", good), ("rejected", bad))}
    if form == "trl":
        return {"prompt": asked, **answers}
    return {side: [*asked, *answer] for side, answer in answers.items()}


def write_file(form: str, folder: Path, n: int = 300) -> Path:
    """`n` rows of a form: ShareGPT as a JSON list, the others as JSON Lines."""
    rows = [row_of(form, *pair) for pair in pairs(n)]
    path = folder / f"{form}.{'json' if form == 'sharegpt' else 'jsonl'}"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows) if form == "sharegpt" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path
