"""Dataset rows, model outputs, samples and result files with one thing wrong: a message that names file and line."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import FEW, Case, cases, refusal, spoiled_bytes

from prefrepro.data.alpaca_eval import alpaca_eval_prompts
from prefrepro.data.benchmarks import arena_hard_prompts, mt_bench_prompts
from prefrepro.data.hh import parse_hh
from prefrepro.data.local import load_rows
from prefrepro.data.rows import Counts, RankedRow, parse_preference, parse_ranked
from prefrepro.data.tldr import parse_tldr
from prefrepro.data.ultrafeedback import parse_ultrafeedback
from prefrepro.judge.stage import read_rows

pytestmark = pytest.mark.fuzz

MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is two plus two?"}]
RATED = {aspect: {"Rating": "4"} for aspect in ("helpfulness", "honesty", "instruction_following", "truthfulness")}
ROWS: dict[str, tuple[Callable[..., Any], Any]] = {
    "pairs": (parse_preference, {"prompt": MESSAGES, "chosen": "Four.", "rejected": "Five."}),
    "turns": (
        parse_preference,
        {"prompt": "Two?", "chosen": [{"role": "assistant", "content": "2"}], "rejected": "Five."},
    ),
    "ranked": (parse_ranked, {"prompt": "Two?", "completions": ["a", "b", "c"], "scores": [1, 2.5, -3]}),
    "hh": (
        parse_hh,
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."},
    ),
    "tldr": (
        parse_tldr,
        {
            "info": {"post": "A long post."},
            "summaries": [{"text": " A"}, {"text": " B"}],
            "choice": 1,
            "split": "train",
        },
    ),
    "ultrafeedback": (
        parse_ultrafeedback,
        {
            "instruction": "Two?",
            "completions": [
                {"response": "4", "overall_score": 8, "annotations": RATED},
                {"response": "5", "overall_score": 9, "annotations": RATED},
            ],
        },
    ),
}
"""Form -> its reader and a whole record."""


def is_free_in_a_row(path: tuple[str | int, ...]) -> bool:
    """Released rows have columns beside ours, a prompt or answer may be text or messages, ratings may be absent."""
    return (
        path == ()
        or path[:1] in (("prompt",), ("chosen",), ("rejected",))
        or "annotations" in path
        or path[:1] == ("info",)
    )


def is_wrong_in_a_row(case: Case) -> bool:
    return case.is_wrong and case.change != "unknown key"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def text_of(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def read(folder: Path, form: str, content: bytes, name: str = "train.jsonl") -> Callable[[], None]:
    """Read a file of this form, and look at what came of it."""
    file = folder / name
    file.write_bytes(content)

    def call() -> None:
        for row in load_rows(file, ROWS[form][0], counts=Counts()):
            texts = [message["content"] for message in row.prompt]
            texts += row.completions if isinstance(row, RankedRow) else [row.chosen, row.rejected]
            for text in texts:
                text.encode()
            assert all(map(math.isfinite, getattr(row, "scores", [])))

    return call


@FEW
@example(("tldr", Case(ROWS["tldr"][1] | {"choice": -0.0}, ("choice",), "example", True)))
@given(
    st.sampled_from(sorted(ROWS)).flatmap(
        lambda form: st.tuples(st.just(form), cases(ROWS[form][1], is_free=is_free_in_a_row))
    )
)
def test_rows(folder: Path, drawn: tuple[str, Case]) -> None:
    """The second of three rows is bad; its line is named."""
    form, case = drawn
    whole = text_of(ROWS[form][1])
    call = read(folder, form, whole + text_of(case.value) + whole)
    message = refusal(call, is_wrong=is_wrong_in_a_row(case), names=("train.jsonl",))
    assert message is None or "line 2" in message


def form_and_bytes(forms: dict[str, bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.sampled_from(sorted(forms)).flatmap(lambda form: st.tuples(st.just(form), spoiled_bytes(forms[form])))


@FEW
@example(("pairs", b'{"prompt": "a", "chosen": "b", "chosen": "c", "rejected": "d"}\n'), "train.jsonl")
@example(("pairs", b"[" * 100_000), "train.json")
@example(("pairs", b'{"prompt": ' * 100_000), "train.jsonl")
@example(
    ("ranked", b'{"prompt": "a", "completions": ["b", "c"], "scores": [1, 1' + b"0" * 5000 + b"]}\n"), "train.jsonl"
)
@example(("pairs", b"PAR1" + b"\0" * 64 + b"PAR1"), "train.parquet")
@given(
    form_and_bytes({form: text_of(record) * 2 for form, (_, record) in ROWS.items()}),
    st.sampled_from(["train.jsonl", "train.json", "train.jsonl.gz", "train.parquet"]),
)
def test_bytes_of_rows(folder: Path, drawn: tuple[str, bytes], name: str) -> None:
    refusal(read(folder, *drawn, name=name), names=(name,))


OUTPUTS = [
    {"instruction": f"Question {n}?", "output": "An answer.", "generator": "gpt4", "dataset": "vicuna"}
    for n in range(3)
]


def alpaca(folder: Path, content: bytes) -> Callable[[], Any]:
    file = folder / "model_outputs.json"
    file.write_bytes(content)

    def call() -> None:
        rows, _ = alpaca_eval_prompts({"files": {"gpt4_turbo": str(file)}, "n_prompts": 2})
        json.dumps(rows, ensure_ascii=False).encode()

    return call


def is_free_in_outputs(path: tuple[str | int, ...]) -> bool:
    return path == () or len(path) == 1 or path[1] == "generator"


@FEW
@example(Case([{"instruction": "\ud800", "output": "b", "dataset": "c"}], (), "surrogate", True))
@example(Case([{"instruction": "a", "output": "\ud800"}], (), "surrogate", True))
@example(Case([{"instruction": "a", "output": "b"}] * 2, (), "the same twice", True))
@given(cases(OUTPUTS, is_free=is_free_in_outputs))
def test_model_outputs(folder: Path, case: Case) -> None:
    names = ("model_outputs.json",)
    refusal(alpaca(folder, text_of(case.value)), is_wrong=case.is_wrong and case.change != "unknown key", names=names)


@FEW
@given(spoiled_bytes(text_of(OUTPUTS)))
def test_bytes_of_model_outputs(folder: Path, content: bytes) -> None:
    refusal(alpaca(folder, content), names=("model_outputs.json",))


BENCHMARKS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "mt_bench": (
        mt_bench_prompts,
        {"question_id": 81, "category": "math", "turns": ["One?", "Two?"]},
        {"question_id": 81, "model_id": "gpt-4", "choices": [{"index": 0, "turns": ["1", "2"]}]},
    ),
    "arena_hard": (
        arena_hard_prompts,
        {"question_id": "a1", "cluster": "maths", "turns": [{"content": "One?"}]},
        {"question_id": "a1", "model_id": "gpt-4-0314", "choices": [{"index": 0, "turns": [{"content": "1"}]}]},
    ),
}


@FEW
@given(st.sampled_from(sorted(BENCHMARKS)), st.sampled_from([1, 2]), st.data())
def test_benchmark_files(folder: Path, name: str, which: int, data: st.DataObject) -> None:
    reader, *records = BENCHMARKS[name]
    case = data.draw(cases(records[which - 1]))
    records[which - 1] = case.value
    files = [folder / "question.jsonl", folder / "answers.jsonl"]
    for file, record in zip(files, records, strict=True):
        file.write_bytes(text_of(record))

    def call() -> None:
        json.dumps(reader(*files), ensure_ascii=False).encode()

    refusal(call, names=tuple(file.name for file in files))


SAMPLES = {
    "prompt_id": "p1", "prompt": MESSAGES, "response": "Four.", "baseline": "Five.", "tokens": 3, "finish": "eos",
    "draw": 0, "temperature": 0.0, "references": {"gpt4_turbo": "Four, I think."},
}  # fmt: skip


def is_free_in_samples(path: tuple[str | int, ...]) -> bool:
    return path[:1] in (("tokens",), ("finish",), ("temperature",)) or path == () or path == ("references",)


@FEW
@example(Case(SAMPLES | {"prompt_id": "\ud800"}, (), "surrogate", True))
@example(Case(SAMPLES | {"prompt": [{"role": "user", "content": "\ud800"}]}, (), "surrogate", True))
@given(cases(SAMPLES, is_free=is_free_in_samples))
def test_samples(folder: Path, case: Case) -> None:
    file = folder / "samples.jsonl"
    file.write_bytes(text_of(SAMPLES) + text_of(case.value))
    message = refusal(
        functools.partial(read_rows, file),
        is_wrong=case.is_wrong and case.change != "unknown key",
        names=("samples.jsonl",),
    )
    assert message is None or "line 2" in message


@FEW
@given(spoiled_bytes(text_of(SAMPLES) * 2))
def test_bytes_of_samples(folder: Path, content: bytes) -> None:
    file = folder / "samples.jsonl"
    file.write_bytes(content)
    refusal(functools.partial(read_rows, file), names=("samples.jsonl",))
