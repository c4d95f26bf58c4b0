"""Prompt sets of Arena-Hard v2.0, whose baseline goes by a question's category, and of v0.1, which refuses v2.0's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefrepro.data import benchmarks
from prefrepro.data.jsonl import read_jsonl
from prefrepro.data.rows import BadRow, column, text
from prefrepro.errors import UserError

BASELINES = {
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
"""Category -> whose answer a question is held against (lmarena/arena-hard-auto @ 196f6b8, utils/judge_utils.py)."""


def arena_hard_v2_prompts(questions: str | Path, *baselines: str | Path) -> list[dict[str, Any]]:
    """{prompt_id, prompt, category, references: {the category's baseline: its answer}} of v2.0's question.jsonl.

    `baselines`: a file of answers for each model of BASELINES. Raises UserError for a malformed line, a question that
    is there twice, of another version, or not answered by its category's baseline.
    """
    answers: dict[str, dict[str, str]] = {}
    for path in baselines:
        for name, answer in benchmarks._baseline_answers(Path(path)).items():
            answers.setdefault(name, {}).update(answer)
    seen: set[str] = set()

    def row(record: dict[str, Any]) -> dict[str, Any]:
        name, category = str(column(record, "uid")), text(column(record, "category"), "category")
        if category not in BASELINES:
            raise BadRow(
                f"question {name} has category {category}; expected {', '.join(BASELINES)} of Arena-Hard v2.0. "
                "Next: set: arena_hard for v0.1"
            )
        model = BASELINES[category]
        if model not in answers.get(name, {}):
            raise BadRow(f"question {name} ({category}) has no answer of {model} in {', '.join(map(str, baselines))}")
        asked = benchmarks._row(text(column(record, "prompt"), "prompt"), seen)
        return asked | {"category": category, "references": {model: answers[name][model]}}

    return list(benchmarks._parsed(Path(questions), row))


def arena_hard_v1_prompts(questions: str | Path, answers: str | Path) -> list[dict[str, Any]]:
    """The prompts of v0.1 (benchmarks.py). Raises UserError, by name, where the question file holds v2.0's."""
    for number, record in read_jsonl(Path(questions)):
        if isinstance(record, dict) and record.get("category") in BASELINES:
            raise UserError(
                f"{questions}, line {number}: a question of Arena-Hard v2.0 (category {record['category']}), whose "
                "baseline goes by category; expected v0.1. Next: set: arena_hard_v2 in the data set's file "
                "(arena-hard-v2-hub is one)."
            )
    return benchmarks.arena_hard_prompts(questions, answers)
