"""Answers that were made elsewhere: CSV, JSON Lines or JSON with columns of any name, held against the prompts here."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefrepro.data.hub import named_files
from prefrepro.data.jsonl import read_jsonl, text_of
from prefrepro.data.template import TAGS, render_history, render_prompt
from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, sha256_file, write_json, write_lines
from prefrepro.specs.runtime import DEFAULT, Runtime

ENGINE = "imported"
"""What stands where a manifest names the engine that answered."""
FORMS = {
    "AlpacaEval's outputs": {"prompt": "instruction", "response": "output"},
    "FastChat's answers": {"prompt_id": "question_id", "responses": "choices"},
    "Arena-Hard's answers": {"prompt": "messages", "responses": "messages"},
    "answers": {"prompt": "prompt", "response": "response"},
    "answers by id": {"prompt_id": "prompt_id", "response": "response"},
    "answers by turn": {"prompt": "prompt", "responses": "responses"},
}
"""Form of a file -> our field: its column. The first form whose columns the first row has is taken."""
NUMBER = "question_id"
HOLDERS = ("answer", "content", "text")
"""Where an object keeps a text: Arena-Hard's answers of 2025, of 2024, a part of a message."""
SHOWN = 3
"""Prompts or places that an error quotes."""
QUOTED = 60
Row = tuple[str, dict[str, Any]]
"""Where it stands, and its values by our names."""


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """The import node of the DAG: a sample set laid out as if sampled here, the manifest says `engine: imported`.

    Raises UserError where the file is another than was planned with, or does not answer these prompts.
    """
    started, path = time.perf_counter(), ROOT / spec["source"]
    ignored = {key: spec.get(key, False) for key in ("ignore_extra", "ignore_missing")}
    answers, unanswered = imported(path, spec["map"], inputs["data"] / "prompts.jsonl", **ignored)
    if (digest := sha256_file(path)) != spec["source_sha256"]:
        raise UserError(f"{path} was changed since this was planned (SHA-256 {digest[:12]}…); run snakemake again")
    write_lines(out / "samples.jsonl", map(text_of, answers))
    manifest = {"spec": spec, "n": len(answers), "unanswered": unanswered, "engine": ENGINE}
    write_json(out / "manifest.json", manifest | {"wall_s": time.perf_counter() - started})


def imported(
    path: Path, columns: dict[str, str], prompts_jsonl: Path, ignore_extra: bool = False, ignore_missing: bool = False
) -> tuple[list[dict[str, Any]], int]:
    """(rows of samples.jsonl, prompts left out since they have no answer); tokens and temperature are not known.

    Raises UserError.
    """
    prompts = [row for _, row in read_jsonl(prompts_jsonl)]
    if "prompt_id" in columns:
        numbers = _numbers(prompts_jsonl.with_name("manifest.json"))
        prompts = [row | {NUMBER: numbers.get(_text(row["prompt"]))} for row in prompts]
    rows = read_outputs(path, columns)[0]
    answers = answers_to(prompts, rows, path, ignore_extra, ignore_missing)
    own = {"tokens": None, "finish": ENGINE, "draw": 0, "temperature": None}
    made = [prompts[number] | answer | own for number, answer in answers.items()]
    return [{key: row[key] for key in row if key != NUMBER} for row in made], len(prompts) - len(answers)


def _numbers(manifest: Path) -> dict[str, str]:
    """Question -> its number in the question file that a data node read, by which benchmarks' answer files call it."""
    source = json.loads(manifest.read_text(encoding="utf-8"))["spec"]["source"] if manifest.is_file() else {}
    if source.get("set") not in ("mt_bench", "arena_hard"):
        return {}
    paths, _ = named_files(source, {name: source.get(name, name) for name in ("questions", "answers")})
    found = {}
    for _, record in read_jsonl(paths["questions"]):
        first = record["prompt"] if "prompt" in record else record["turns"][0]
        found[str(_plain(first))] = str(record["question_id"] if "question_id" in record else record["uid"])
    return found


def read_outputs(path: Path, columns: Mapping[str, str] | None) -> tuple[list[Row], dict[str, str], str]:
    """(rows, our field: its column, the form's name) of a *.csv, *.tsv, *.json (a list of objects) or *.jsonl file.

    Without `columns` the form is recognised by the first row. Raises UserError where the file cannot be read, is of no
    known form, or a row lacks a column.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a file of answers, CSV, JSON or JSON Lines")
    read = {".csv": _csv, ".tsv": _csv, ".json": _json}.get(path.suffix.lower(), _jsonl)
    rows: list[Row] = []
    form, given = "answers", columns
    for where, raw in read(path):
        if given is None:
            known = (name for name, one in FORMS.items() if set(one.values()) <= raw.keys())
            form = next(known, "answers")
            given = FORMS[form]
        if lacking := [column for column in given.values() if column not in raw]:
            has = ", ".join(str(key) for key in raw) or "none"
            forms = "; ".join(f"{name}: {', '.join(dict.fromkeys(one.values()))}" for name, one in FORMS.items())
            raise UserError(
                f'{path}, {where}: no column "{lacking[0]}"; it has {has}.{nearest(lacking[0], map(str, raw))} '
                f"Name the file's columns with --map, such as prompt=question,response=output. Known without: {forms}"
            )
        rows.append((where, {field: raw[column] for field, column in given.items()}))
    if not rows or given is None:
        raise UserError(f"{path} holds no answer; expected one for each prompt")
    return rows, dict(given), form


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            for row in reader:
                yield f"line {reader.line_num}", row
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
        yield f"entry {number}", row


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_jsonl(path):
        yield f"line {number}", row


def answers_to(
    prompts: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    path: Path,
    ignore_extra: bool = False,
    ignore_missing: bool = False,
) -> dict[int, dict[str, Any]]:
    """Number of a prompt -> {response} or {response, responses}, in the prompts' order.

    A prompt's text is its one message, or the conversation with role tags or as HH writes it; blanks at both ends do
    not count. Raises one UserError with every problem, each kind once with its number and first places: prompts
    without an answer or with null (`ignore_missing`: they are left out), answers to no prompt (`ignore_extra`: they are
    left out), prompts answered twice, and answers of another form than the prompt wants.
    """
    places = {text: number for number, prompt in enumerate(prompts) for text in _names(prompt)}
    found: dict[int, dict[str, Any]] = {}
    first: dict[int, str] = {}
    extra, problems = list[str](), defaultdict[str, list[str]](list)
    for where, row in rows:
        try:
            names = [str(row["prompt_id"])] if "prompt_id" in row else _called(row["prompt"])
            number = next((places[name.strip()] for name in names if name.strip() in places), None)
            if number is None:
                extra.append(f"{where}: {_quoted(names[0])}")
            elif number in first:
                problems["answer a prompt that an earlier one answers"].append(f"{where}, as {first[number]}")
            else:
                first[number] = where
                if answer := _answer(row, len(prompts[number].get("turns", []))):
                    found[number] = answer
                elif not ignore_missing:
                    problems["are null; expected text (--ignore-missing leaves their prompts out)"].append(where)
        except ValueError as error:
            problems[str(error)].append(where)
    missing = [_quoted(_text(prompt["prompt"])) for number, prompt in enumerate(prompts) if number not in first]
    lines = [f"{len(at)} of {len(rows)} answers {problem}: {_some(at)}" for problem, at in problems.items()]
    if missing and not ignore_missing:
        hint = "; --ignore-missing leaves such prompts out" if found else ""
        lines.append(f"{len(missing)} of {len(prompts)} prompts have no answer: {_some(missing)}{hint}")
    if extra and not ignore_extra:
        hint = "; --ignore-extra leaves such out" if len(rows) > len(prompts) or ignore_missing else ""
        lines.append(f"{len(extra)} of {len(rows)} answers are to none of the prompts: {_some(extra)}{hint}")
    if not lines and not found:
        lines.append(f"none of {len(rows)} answers is to one of the {len(prompts)} prompts")
    if lines:
        raise UserError(f"{path} does not answer the evaluation's prompts:\n" + "\n".join(lines))
    return {number: found[number] for number in sorted(found)}


def _answer(row: dict[str, Any], turns: int) -> dict[str, Any]:
    """The answer to a prompt with so many turns (0: it says nothing of turns); empty where it is null.

    Raises ValueError.
    """
    value = row["responses"] if "responses" in row else row["response"]
    texts = [value] if isinstance(value, str) else _texts(value)
    if any(text is None for text in texts):
        return {}
    if not turns and texts and (len(texts) == 1 or _is_messages(value)):
        return {"response": texts[-1]}
    if turns and _is_messages(value):
        texts = texts[-turns:]
    if len(texts) != (turns or 1):
        raise ValueError(f"hold {len(texts)} texts; expected {turns or 1}, one for each turn of the prompt")
    return {"response": texts[-1], "responses": texts}


def _texts(value: Any) -> list[str | None]:
    """The answers in a value: a list of them, FastChat's one choice with its turns, or the assistant's messages."""
    if not isinstance(value, list):
        return [_plain(value)]
    if _is_messages(value):
        return [_plain(one["content"]) for one in value if one["role"] == "assistant"]
    if value and all(isinstance(one, dict) and isinstance(one.get("turns"), list) for one in value):
        if len(value) > 1:
            raise ValueError(f"hold {len(value)} choices; expected one. Import one file for each choice")
        value = value[0]["turns"]
    return [_plain(one) for one in value]


def _plain(value: Any) -> str | None:
    """A text, whether it stands alone, in an object or in parts; None for null. Raises ValueError."""
    if isinstance(value, dict):
        kind = f"an object of {', '.join(map(str, value)) or 'nothing'}"
        value = next((value[key] for key in HOLDERS if isinstance(value.get(key), str)), value)
    elif isinstance(value, list):
        kind = "a list of other things than text"
        if all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in value):
            value = "".join(one["text"] for one in value)
    else:
        kind = type(value).__name__
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"hold {kind}; expected text, or an object with text under {', '.join(HOLDERS)}")


def _is_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in value)
    )


def _names(prompt: Mapping[str, Any]) -> list[str]:
    """What a prompt may be called: its id, its number in a benchmark, and each way its text is written."""
    messages = prompt["prompt"]
    texts = [_text(messages), render_history(messages), render_prompt(messages), _as_hh(messages)]
    numbers = [prompt[NUMBER]] if prompt.get(NUMBER) else []
    return [prompt["prompt_id"], *numbers, *(text.strip() for text in texts)]


def _called(prompt: Any) -> list[str]:
    """What a row calls its prompt: text, or messages, of which answers at the end do not count. Raises ValueError."""
    if not _is_messages(prompt):
        if (text := _plain(prompt)) is None:
            raise ValueError("hold null in place of the prompt")
        return [text]
    messages = [{"role": str(one["role"]), "content": str(_plain(one["content"]))} for one in prompt]
    if strange := [one["role"] for one in messages if one["role"] not in TAGS]:
        raise ValueError(f"hold a message of role {strange[0]:.40}; expected {', '.join(TAGS)}")
    last = max((place for place, one in enumerate(messages) if one["role"] != "assistant"), default=0)
    return [_text(messages[: last + 1]), _text(messages[:1])]


def _text(messages: Sequence[dict[str, str]]) -> str:
    """The text of one message; that of several is their history with role tags."""
    return messages[0]["content"] if len(messages) == 1 else render_history(list(messages))


def _as_hh(messages: Sequence[Mapping[str, str]]) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    said = "".join(f"\n\n{names.get(one['role'], one['role'])}: {one['content']}" for one in messages)
    return f"{said}\n\nAssistant:"


def _quoted(text: Any) -> str:
    line = " ".join(str(text).split())
    return f"«{line[:QUOTED]}{'…' if len(line) > QUOTED else ''}»"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
