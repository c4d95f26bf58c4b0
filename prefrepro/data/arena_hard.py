"""Prompt sets of Arena-Hard v2.0, whose baseline goes by a question's category; what v0.1 must not take for its own.

Apart from benchmarks.py, whose code is part of the name of every node that rests on data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefrepro.data import benchmarks, sources
from prefrepro.data.alpaca_eval import prompt_order
from prefrepro.data.hub import named_files
from prefrepro.data.jsonl import Spool, read_jsonl
from prefrepro.data.rows import BadRow, Counts, column, text
from prefrepro.errors import UserError

BASELINES = {
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
"""Category -> whose answer a question is held against (lmarena/arena-hard-auto @ 196f6b8, utils/judge_utils.py)."""
FILES = ("questions", "answers", "creative_answers")


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


def refuse_v2(questions: Path) -> None:
    """Raise UserError where a question file that is read as v0.1's holds v2.0's."""
    for number, record in read_jsonl(questions):
        if isinstance(record, dict) and record.get("category") in BASELINES:
            raise UserError(
                f"{questions}, line {number}: a question of Arena-Hard v2.0 (category {record['category']}), whose "
                "baseline goes by category; expected v0.1. Next: set: arena_hard_v2 in the data set's file "
                "(arena-hard-v2-hub is one)."
            )


def read(source: sources.Source) -> sources.Built:
    """The prompts of a benchmark, as sources.py reads them, and of Arena-Hard v2.0. Raises UserError."""
    if source["set"] not in ("arena_hard", "arena_hard_v2"):
        return PLAIN(source)
    wanted = FILES if source["set"] == "arena_hard_v2" else FILES[:2]
    paths, record = named_files(source, {name: source.get(name, name) for name in wanted})
    if missing := [name for name in wanted if name not in paths]:
        raise UserError(f"files of {source['set']} name no {missing[0]}; expected {', '.join(wanted)}: path")
    if source["set"] == "arena_hard":
        refuse_v2(paths["questions"])
        return PLAIN(source)
    rows = arena_hard_v2_prompts(*(paths[name] for name in wanted))
    kept = [rows[place] for place in sorted(prompt_order(len(rows), source["n_prompts"]))]
    empty: sources.Parts = {name: Spool() for name in sources.PARTS}
    manifest = {**Counts().manifest(), "from": record, "left_out": len(rows) - len(kept)}
    return sources.Built(empty, [], manifest, kept)


PLAIN = sources.BUILDERS["instructions"]
