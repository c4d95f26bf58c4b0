"""Question files of MT-Bench and Arena-Hard: the released ones, generated ones, malformed ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED

from prefrepro.data.benchmarks import TEMPERATURES, arena_hard_prompts, mt_bench_prompts
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError

MT_BENCH, ARENA = SHARED / "data" / "mt_bench", SHARED / "data" / "arena_hard"
needs_released = pytest.mark.skipif(not ARENA.is_dir(), reason=f"no released files at {SHARED}")
Write = Callable[..., Path]

QUESTION = {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]}
MATHS = {"question_id": 111, "category": "math", "turns": ["1+1?", "Times 2?"], "reference": ["not", "used"]}
REFERENCE = {"question_id": 111, "model_id": "gpt-4", "choices": [{"index": 0, "turns": ["2", "4"]}]}
ASKED = {"uid": "a1", "category": "arena-hard-v0.1", "cluster": "Sums", "prompt": "1+1?"}
ANSWERED = {
    "uid": "a1",
    "model": "gpt-4-0314",
    "messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": {"answer": "2"}}],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(name: str, *records: Any) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, records)) + "\n")
        return path

    return file


@needs_released
def test_released_mt_bench() -> None:
    rows = mt_bench_prompts(MT_BENCH / "question.jsonl", MT_BENCH / "reference_answer_gpt-4.jsonl")
    assert len(rows) == 80 and len({row["prompt_id"] for row in rows}) == 80
    assert Counter(row["category"] for row in rows) == dict.fromkeys(TEMPERATURES, 10)
    assert {row["category"]: row["temperature"] for row in rows} == TEMPERATURES
    referenced = {row["category"] for row in rows if row["reference_answers"]}
    assert referenced == {"math", "reasoning", "coding"}
    assert sum(row["reference_answers"] is not None for row in rows) == 30
    assert all(len(row["turns"]) == 2 and row["prompt"][0]["content"] == row["turns"][0] for row in rows)
    lines = (MT_BENCH / "question.jsonl").read_text(encoding="utf-8").splitlines()
    assert [row["turns"] for row in rows] == [json.loads(line)["turns"] for line in lines], "in the file's order"


@needs_released
def test_released_arena_hard() -> None:
    rows = arena_hard_prompts(ARENA / "question_v0.1.jsonl", ARENA / "baseline_gpt-4-0314_answers.jsonl")
    assert len(rows) == 500 and len({row["prompt_id"] for row in rows}) == 500
    assert all(list(row["references"]) == ["gpt-4-0314"] and row["references"]["gpt-4-0314"] for row in rows)
    answers = map(json.loads, (ARENA / "baseline_gpt-4-0314_answers.jsonl").read_text(encoding="utf-8").splitlines())
    by_question = {one["messages"][0]["content"]: one["messages"][1]["content"]["answer"] for one in answers}
    assert all(row["references"]["gpt-4-0314"] == by_question[row["prompt"][0]["content"]] for row in rows)


def test_mt_bench_rows(write: Write) -> None:
    other = {"question_id": "x", "category": "poetry", "turns": ["Sing.", "Dance."]}
    rows = mt_bench_prompts(write("q.jsonl", QUESTION, MATHS, other), write("a.jsonl", REFERENCE))
    assert rows[1] == {
        "prompt_id": prompt_id([{"role": "user", "content": "1+1?"}]),
        "prompt": [{"role": "user", "content": "1+1?"}],
        "turns": ["1+1?", "Times 2?"],
        "category": "math",
        "reference_answers": ["2", "4"],
        "temperature": 0.0,
    }
    assert [(row["reference_answers"], row["temperature"]) for row in rows[::2]] == [(None, 0.7), (None, 0.7)]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({**QUESTION, "turns": ["one"]}, r"line 2: \"turns\" is \['one'\]; expected a list of 2 texts"),
        ({**QUESTION, "turns": "one"}, "expected a list of 2 texts"),
        ({**QUESTION, "turns": ["a", 3]}, '"turns" holds a number'),
        ({**QUESTION, "turns": [" ", "b"]}, "the question is empty"),
        ({**QUESTION, "question_id": None}, '"question_id" is None'),
        ({"turns": ["a", "b"]}, 'column "question_id" is missing'),
        ({"question_id": 1, "turns": ["a", "b"]}, 'column "category" is missing'),
        (["no object"], "JSON of type list"),
        ({**MATHS, "question_id": 112}, r"question 112 \(math\) has no reference answer in .*a.jsonl"),
        (MATHS, "is there already"),
    ],
)
def test_malformed_mt_bench_questions(write: Write, record: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        mt_bench_prompts(write("q.jsonl", MATHS, record), write("a.jsonl", REFERENCE))
    assert "q.jsonl, line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({**REFERENCE, "choices": []}, "a.jsonl, line 1: expected a list under"),
        ({**REFERENCE, "choices": [{"turns": ["2"]}]}, "a.jsonl, line 1: .* expected a list of 2 texts"),
        ({"choices": REFERENCE["choices"]}, 'column "question_id" is missing'),
    ],
)
def test_malformed_references(write: Write, record: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        mt_bench_prompts(write("q.jsonl", MATHS), write("a.jsonl", record))


def test_questions_of_maths_want_a_reference_file(write: Write) -> None:
    assert len(mt_bench_prompts(write("q.jsonl", QUESTION))) == 1
    with pytest.raises(UserError, match="any file: none is named"):
        mt_bench_prompts(write("q.jsonl", MATHS))


def test_arena_rows_of_both_years(write: Write) -> None:
    old_question = {
        "question_id": "a1",
        "category": "arena-hard-v0.1",
        "cluster": "Sums",
        "turns": [{"content": "1+1?"}],
    }
    old_answer = {
        "question_id": "a1",
        "model_id": "gpt-4-0314",
        "choices": [{"index": 0, "turns": [{"content": "2", "token_len": 1}]}],
    }
    new = arena_hard_prompts(write("q.jsonl", ASKED), write("b.jsonl", ANSWERED))
    old = arena_hard_prompts(write("q.jsonl", old_question), write("b.jsonl", old_answer))
    assert new == old
    assert new[0]["references"] == {"gpt-4-0314": "2"} and new[0]["category"] == "Sums"


@pytest.mark.parametrize(
    ("questions", "answers", "said"),
    [
        ([{**ASKED, "uid": "a2"}], [ANSWERED], "q.jsonl, line 1: question a2 has no answer in .*b.jsonl"),
        ([ASKED, ASKED], [ANSWERED], "q.jsonl, line 2: the question '1.1.' is there already"),
        ([{**ASKED, "prompt": None}], [ANSWERED], '"prompt" holds'),
        ([{"uid": "a1", "category": "x"}], [ANSWERED], 'column "turns" is missing'),
        ([{"uid": "a1", "category": "x", "turns": [{}, {}]}], [ANSWERED], '"turns" is not one'),
        ([ASKED], [ANSWERED, {**ANSWERED, "model": "gpt-5"}], "b.jsonl, line 2: an answer of gpt-5 among"),
        ([ASKED], [{**ANSWERED, "messages": []}], '"messages" does not end with an assistant'),
        ([ASKED], [{**ANSWERED, "messages": ANSWERED["messages"][:1]}], "does not end with an assistant"),
        ([ASKED], [{"uid": "a1", "messages": []}], 'column "model" is missing'),
        ([ASKED], [{"question_id": "a1", "model_id": "m", "choices": [{"turns": [{}]}]}], '"answer" holds'),
    ],
)
def test_malformed_arena_files(write: Write, questions: list[Any], answers: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        arena_hard_prompts(write("q.jsonl", *questions), write("b.jsonl", *answers))


def test_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        mt_bench_prompts(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="the file is empty"):
        arena_hard_prompts(tmp_path / "empty.jsonl", tmp_path / "empty.jsonl")
