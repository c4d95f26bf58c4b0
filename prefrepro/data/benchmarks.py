"""Prompt sets of MT-Bench and Arena-Hard v0.1, from the released files: at a path, or from the hub.

Rows are those of a data node's prompts.jsonl, in the question file's order. The question files hold no answers of a
model: FastChat keeps MT-Bench's reference answers, Arena-Hard its baseline's answers, in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from prefrepro.data.jsonl import read_jsonl
from prefrepro.data.rows import BadRow, column, text
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError

TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""Temperature of an answer, by MT-Bench's categories (FastChat llm_judge/common.py, temperature_config)."""
OTHER_TEMPERATURE = 0.7
"""Temperature in any other category (FastChat llm_judge/gen_model_answer.py)."""
REFERENCE_CATEGORIES = ("math", "reasoning", "coding")
"""Whose judge is shown reference answers (FastChat llm_judge/common.py, NEED_REF_CATS)."""
TURNS = 2
Parsed = TypeVar("Parsed")


def mt_bench_prompts(questions: str | Path, answers: str | Path | None = None) -> list[dict[str, Any]]:
    """{prompt_id, prompt, turns, category, reference_answers, temperature} of question.jsonl.

    `answers` is reference_answer/gpt-4.jsonl; 13 of its 30 are reported to be wrong (FastChat PR #3158): a corrected
    file of the same form does too. Raises UserError for a malformed line, a question that is there twice, and where a
    question of math, reasoning or coding has no reference answer.
    """
    references = dict(_parsed(Path(answers), _reference)) if answers is not None else {}
    seen: set[str] = set()

    def row(record: dict[str, Any]) -> dict[str, Any]:
        name, category = _identity(record, "question_id"), text(column(record, "category"), "category")
        turns = _texts(column(record, "turns"), "turns")
        reference = references.get(name) if category in REFERENCE_CATEGORIES else None
        if category in REFERENCE_CATEGORIES and reference is None:
            raise BadRow(
                f"question {name} ({category}) has no reference answer in {answers or 'any file: none is named'}; "
                "expected one for each question of " + ", ".join(REFERENCE_CATEGORIES)
            )
        return _row(turns[0], seen) | {
            "turns": turns,
            "category": category,
            "reference_answers": reference,
            "temperature": TEMPERATURES.get(category, OTHER_TEMPERATURE),
        }

    return list(_parsed(Path(questions), row))


def arena_hard_prompts(questions: str | Path, baseline: str | Path) -> list[dict[str, Any]]:
    """{prompt_id, prompt, category, references: {baseline's name: answer}} of question.jsonl.

    Both released forms are read: of 2024 (question_id, turns; choices) and of 2025 (uid, prompt; messages). `category`
    is the question's cluster. Raises UserError for a malformed line, a question that is there twice or unanswered,
    and answers of more than one model.
    """
    answers = _baseline_answers(Path(baseline))
    seen: set[str] = set()

    def row(record: dict[str, Any]) -> dict[str, Any]:
        name = _identity(record, "uid" if "uid" in record else "question_id")
        if name not in answers:
            raise BadRow(f"question {name} has no answer in {baseline}; expected one for each question")
        key = "cluster" if "cluster" in record else "category"
        return _row(_question(record), seen) | {"category": text(column(record, key), key), "references": answers[name]}

    return list(_parsed(Path(questions), row))


def _parsed(path: Path, parse: Callable[[dict[str, Any]], Parsed]) -> Iterator[Parsed]:
    """What `parse` makes of each line; a BadRow becomes a UserError that says where."""
    for number, record in read_jsonl(path):
        try:
            made = parse(record)
        except BadRow as error:
            raise UserError(f"{path}, line {number}: {error}.") from error
        yield made


def _reference(record: dict[str, Any]) -> tuple[str, list[str]]:
    """(question, reference answer to each turn)"""
    return _identity(record, "question_id"), _texts(_first_choice(record), "choices[0].turns")


def _baseline_answers(path: Path) -> dict[str, dict[str, str]]:
    """Question -> {the model's name: its answer}."""
    models = set()

    def answer(record: dict[str, Any]) -> tuple[str, dict[str, str]]:
        is_2025 = "messages" in record
        model = text(column(record, "model" if is_2025 else "model_id"), "model")
        models.add(model)
        if len(models) > 1:
            raise BadRow(f"an answer of {model} among those of another model; expected one model in a file")
        return _identity(record, "uid" if is_2025 else "question_id"), {model: _answer(record)}

    return dict(_parsed(path, answer))


def _answer(record: Mapping[str, Any]) -> str:
    if "messages" in record:
        last = record["messages"][-1] if isinstance(record["messages"], list) and record["messages"] else None
        if not isinstance(last, dict) or last.get("role") != "assistant":
            raise BadRow('"messages" does not end with an assistant message')
        content = last.get("content")
    else:
        content = next(iter(_first_choice(record)), None)
    if isinstance(content, dict):  # 2025: {"answer": …}; 2024: {"content": …, "token_len": …}
        content = content.get("answer", content.get("content"))
    return text(content, "answer")


def _first_choice(record: Mapping[str, Any]) -> list[Any]:
    choices = record.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or not isinstance(first.get("turns"), list):
        raise BadRow('expected a list under "choices" whose first object holds a list "turns"')
    return first["turns"]


def _question(record: Mapping[str, Any]) -> str:
    if "prompt" in record:
        return text(record["prompt"], "prompt")
    turns = column(dict(record), "turns")
    if not isinstance(turns, list) or len(turns) != 1 or not isinstance(turns[0], dict):
        raise BadRow('"turns" is not one {content}; Arena-Hard v0.1 asks one question')
    return text(turns[0].get("content"), "turns")


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or len(value) != TURNS:
        raise BadRow(f'"{name}" is {value!r:.60}; expected a list of {TURNS} texts')
    return [text(turn, name) for turn in value]


def _identity(record: dict[str, Any], key: str) -> str:
    value = column(record, key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRow(f'"{key}" is {value!r:.40}; expected a number or text')
    return str(value)


def _row(question: str, seen: set[str]) -> dict[str, Any]:
    if not question.strip():
        raise BadRow("the question is empty")
    prompt = [{"role": "user", "content": question}]
    identity = prompt_id(prompt)
    if identity in seen:
        raise BadRow(f"the question {question!r:.60} is there already; expected each once")
    seen.add(identity)
    return {"prompt_id": identity, "prompt": prompt}
