"""Answers that were made elsewhere: CSV, JSON Lines or JSON with columns of any name, held against the prompts here."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefrepro.data.jsonl import read_jsonl, text_of
from prefrepro.data.template import render_history, render_prompt
from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, sha256_file, write_json, write_lines
from prefrepro.specs.runtime import DEFAULT, Runtime

ENGINE = "imported"
"""What stands where a manifest names the engine that answered."""
SHOWN = 3
"""Prompts that an error quotes."""
QUOTED = 60
Row = tuple[str, dict[str, Any]]
"""Where it stands, and its values by our names."""


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """The import node of the DAG: a sample set laid out as if sampled here, the manifest says `engine: imported`.

    Raises UserError where the file is another than was planned with, or does not answer exactly these prompts.
    """
    started, path = time.perf_counter(), ROOT / spec["source"]
    answers = imported(path, spec["map"], inputs["data"] / "prompts.jsonl", spec["ignore_extra"])
    if (digest := sha256_file(path)) != spec["source_sha256"]:
        raise UserError(f"{path} was changed since this was planned (SHA-256 {digest[:12]}…); run snakemake again")
    write_lines(out / "samples.jsonl", map(text_of, answers))
    manifest = {"spec": spec, "n": len(answers), "engine": ENGINE, "wall_s": time.perf_counter() - started}
    write_json(out / "manifest.json", manifest)


def imported(path: Path, columns: dict[str, str], prompts_jsonl: Path, ignore_extra: bool) -> list[dict[str, Any]]:
    """Rows of samples.jsonl; tokens and temperature are not known. Raises UserError."""
    prompts = [row for _, row in read_jsonl(prompts_jsonl)]
    answers = answers_to(prompts, read_outputs(path, columns), path, ignore_extra)
    own = {"tokens": None, "finish": ENGINE, "draw": 0, "temperature": None}
    return [prompt | answer | own for prompt, answer in zip(prompts, answers, strict=True)]


def read_outputs(path: Path, columns: Mapping[str, str]) -> list[Row]:
    """The rows of a *.csv, *.tsv, *.json (a list of objects, AlpacaEval's model_outputs) or *.jsonl file.

    Raises UserError where the file cannot be read, or a row lacks a column that `columns` names.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a file of answers, CSV, JSON or JSON Lines")
    read = {".csv": _csv, ".tsv": _csv, ".json": _json}.get(path.suffix.lower(), _jsonl)
    rows: list[Row] = []
    for where, raw in read(path):
        lacking = [column for column in columns.values() if raw.get(column) is None]
        if lacking:
            has = ", ".join(str(key) for key in raw) or "none"
            raise UserError(
                f'{where}: no column "{lacking[0]}"; it has {has}.{nearest(lacking[0], map(str, raw))} '
                "Name the file's columns with --map, such as prompt=instruction,response=output"
            )
        rows.append((where, {field: raw[column] for field, column in columns.items()}))
    if not rows:
        raise UserError(f"{path} holds no answer; expected one for each prompt")
    return rows


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable CSV in UTF-8 ({error})") from error


def _json(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{path} is no readable JSON ({error})") from error
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(f"{path}: expected a list of objects, as AlpacaEval's model_outputs.json")
    for number, row in enumerate(content):
        yield f"{path}, entry {number}", row


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_jsonl(path):
        yield f"{path}, line {number}", row


def answers_to(
    prompts: Sequence[Mapping[str, Any]], rows: Sequence[Row], path: Path, ignore_extra: bool = False
) -> list[dict[str, Any]]:
    """{response} or {response, responses} for each prompt, in the prompts' order.

    A prompt's text is its one message, or the conversation with role tags or as HH writes it; blanks at both ends do
    not count. Raises one UserError that lists prompts without an answer, answers to no prompt (`ignore_extra`: they
    are left out), prompts answered twice, and answers of another form than the prompt wants.
    """
    places = {text: number for number, prompt in enumerate(prompts) for text in _names(prompt)}
    found: dict[int, Row] = {}
    extra, problems = [], []
    for where, row in rows:
        name = row["prompt_id"] if "prompt_id" in row else _text(row["prompt"])
        number = places.get(str(name).strip())
        if number is None:
            extra.append(f"{where}: {_quoted(name)}")
        elif number in found:
            problems.append(f"{where}: its prompt is answered before, at {found[number][0]}; expected one answer each")
        else:
            found[number] = (where, row)
    missing = [_quoted(_text(prompt["prompt"])) for number, prompt in enumerate(prompts) if number not in found]
    if missing:
        problems.append(f"{len(missing)} of {len(prompts)} prompts have no answer: {_some(missing)}")
    if extra and not ignore_extra:
        hint = "; --ignore-extra leaves such out" if len(rows) > len(prompts) else ""
        problems.append(f"{len(extra)} of {len(rows)} answers are to none of the prompts: {_some(extra)}{hint}")
    answers = [_answer(prompts[number], *found[number], problems) for number in sorted(found)]
    if problems:
        more = f"\nand {len(problems) - 10} more" if len(problems) > 10 else ""
        raise UserError(f"{path} does not answer the evaluation's prompts:\n" + "\n".join(problems[:10]) + more)
    return answers


def _answer(prompt: Mapping[str, Any], where: str, row: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    turns = len(prompt.get("turns", []))
    if not turns:
        answer = row.get("response")
        if not isinstance(answer, str):
            problems.append(f"{where}: the response is {type(answer).__name__}; expected text")
        return {"response": answer}
    answers = row.get("responses")
    if not isinstance(answers, list) or len(answers) != turns or not all(isinstance(one, str) for one in answers):
        problems.append(f"{where}: the prompt has {turns} turns; expected responses, a list of as many texts")
        return {}
    return {"response": answers[-1], "responses": answers}


def _names(prompt: Mapping[str, Any]) -> list[str]:
    """What a prompt may be called: its id, and each way its text is written."""
    messages = prompt["prompt"]
    texts = [_text(messages), render_history(messages), render_prompt(messages), _as_hh(messages)]
    return [prompt["prompt_id"], *(text.strip() for text in texts)]


def _text(prompt: Any) -> str:
    """Of messages, or of text as it is; a conversation of several messages is its history with role tags."""
    is_messages = isinstance(prompt, list) and all(isinstance(one, dict) and "content" in one for one in prompt)
    if not is_messages:
        return str(prompt)
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    try:
        return render_history(prompt)
    except KeyError:
        return json.dumps(prompt, ensure_ascii=False)


def _as_hh(messages: Sequence[Mapping[str, str]]) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    said = "".join(f"\n\n{names.get(one['role'], one['role'])}: {one['content']}" for one in messages)
    return f"{said}\n\nAssistant:"


def _quoted(text: Any) -> str:
    line = " ".join(str(text).split())
    return f"«{line[:QUOTED]}{'…' if len(line) > QUOTED else ''}»"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
