"""Every parser of bytes or text that comes from outside, with files it accepts: what a guided fuzzer starts from.

A parser's call takes a folder of its own and one file's bytes. It ends in a UserError that names the file, or with a
result; anything else is a fault. Reply texts are never refused: they are verdicts or invalid.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations import refusal
from test_fuzz_judge import BODIES
from test_fuzz_profiles import PROFILES, laid_out
from test_fuzz_rows import BENCHMARKS, OUTPUTS, ROWS, SAMPLES, alpaca, read, text_of
from test_fuzz_specs import JUDGES, PAPERS, SCALES, TABLES, plan_table

from prefrepro.csv_schema.schema import header_line, read_csv
from prefrepro.judge.arena_hard import SHARES_2024, SHARES_2025, read_2024, read_2025
from prefrepro.judge.completion import parse_completion
from prefrepro.judge.mt_bench import read_rating
from prefrepro.judge.pairwise import NOUNS, parse_paper, parse_robust, verdict_of
from prefrepro.judge.stage import read_rows
from prefrepro.specs.files import read_mapping, read_yaml
from prefrepro.specs.judge import load_judge
from prefrepro.specs.paper import check_paper
from prefrepro.specs.scale import check_scale

KEPT = Path(__file__).parent / "kept"
"""PARSER/NAME: inputs that once made a parser fail."""
REPLIES = ["Response 1", "[[A>>B]]", "My final verdict is tie: [[A=B]]", "Rating: [[7.5]]", "Summary 2."]

_SAME = f"judge,judge,paper,{'7b' * 32},{'c4' * 32}"
VERDICTS = f"""{header_line("verdicts")}\
dpo_hh,{"0a" * 32},0,candidate_first,win,1.0,1.0,{_SAME},Response 1,123,2,0.0,2026-11-21T21:57:08.136+00:00
dpo_hh,{"1b" * 32},0,candidate_first,invalid,,1.0,{_SAME},"'=1+1, so",123,2,0.0,2026-11-21T21:57:09.136+00:00
"""


@dataclass(frozen=True)
class Parser:
    """`parse(folder, content)` gives what reads it; `names`: one of these stands in every refusal."""

    parse: Callable[[Path, bytes], Callable[[], Any]]
    seeds: list[bytes]
    names: tuple[str, ...] = ()

    def __call__(self, folder: Path, content: bytes) -> str | None:
        """The refusal, or None where it was taken. Raises what is a fault."""
        return refusal(self.parse(folder, content), names=self.names)


def _file(name: str, read_file: Callable[[Path], Any]) -> Callable[[Path, bytes], Callable[[], Any]]:
    def parse(folder: Path, content: bytes) -> Callable[[], Any]:
        file = folder / name
        file.write_bytes(content)
        read_yaml.cache_clear()
        return functools.partial(read_file, file)

    return parse


def _rows(form: str) -> Callable[[Path, bytes], Callable[[], Any]]:
    return lambda folder, content: read(folder, form, content)


def _benchmark(name: str, which: int) -> Callable[[Path, bytes], Callable[[], Any]]:
    reader, *records = BENCHMARKS[name]

    def parse(folder: Path, content: bytes) -> Callable[[], Any]:
        files = [folder / "question.jsonl", folder / "answers.jsonl"]
        for number, (file, record) in enumerate(zip(files, records, strict=True)):
            file.write_bytes(content if number == which else text_of(record))
        return lambda: json.dumps(reader(*files), ensure_ascii=False).encode()

    return parse


def _reply(_folder: Path, content: bytes) -> Callable[[], None]:
    text = content.decode("utf-8", "replace")

    def call() -> None:
        for template in NOUNS:
            for parse in (parse_paper, parse_robust):
                assert verdict_of(parse(text, template), True) in ("win", "loss", "tie", "invalid")
        rating = read_rating(text)
        assert rating is None or 1 <= rating <= 10
        assert read_2024(text) in (None, *SHARES_2024.values())
        assert read_2025(text) in (None, *SHARES_2025.values())

    return call


def _completion(_folder: Path, content: bytes) -> Callable[[], None]:
    """A ValueError is what its caller makes a message of."""

    def call() -> None:
        with contextlib.suppress(ValueError):
            parse_completion(content.decode("utf-8", "replace")).model_dump_json()

    return call


PARSERS: dict[str, Parser] = {
    "table": Parser(
        lambda folder, content: plan_table(folder, TABLES[0], content),
        [path.read_bytes() for path in TABLES if path.parent == TABLES[0].parent],
        (TABLES[0].name, "config/"),
    ),
    "paper": Parser(
        _file("paper.yaml", lambda file: check_paper(read_mapping(file), file.name)),
        [path.read_bytes() for path in PAPERS],
        ("paper.yaml",),
    ),
    "scale": Parser(
        _file("embedded.yaml", lambda file: check_scale(read_mapping(file), file.name)),
        [path.read_bytes() for path in SCALES],
        ("embedded.yaml",),
    ),
    "judge": Parser(_file("judge.yaml", load_judge), [path.read_bytes() for path in JUDGES], ("judge.yaml",)),
    "profile": Parser(
        _file("profile.yaml", lambda file: laid_out("drawn", read_mapping(file))()),
        [path.read_bytes() for path in PROFILES],
        ("profile.yaml", "profiles/"),
    ),
    **{
        f"rows_{form}": Parser(_rows(form), [text_of(record) * 2], ("train.jsonl",))
        for form, (_, record) in ROWS.items()
    },
    **{
        f"{name}_{kind}": Parser(
            _benchmark(name, which), [text_of(records[which])], ("question.jsonl", "answers.jsonl")
        )
        for name, (_, *records) in BENCHMARKS.items()
        for which, kind in enumerate(("questions", "answers"))
    },
    "model_outputs": Parser(alpaca, [text_of(OUTPUTS)], ("model_outputs.json",)),
    "samples": Parser(_file("samples.jsonl", read_rows), [text_of(SAMPLES) * 2], ("samples.jsonl",)),
    "completion": Parser(_completion, [json.dumps(body).encode() for body in BODIES.values()]),
    "verdicts": Parser(
        _file("verdicts.csv", lambda file: read_csv(file, "verdicts")), [VERDICTS.encode()], ("verdicts.csv",)
    ),
    "reply": Parser(_reply, [text.encode() for text in REPLIES]),
}
