"""Tidy CSVs with one schema file each, checked on write and on read.

`config/schemas/<name>.schema.yaml` is a JSON schema of one row, with two keys of ours: `x-sort` (the order of
the rows) and `x-unique` (the columns that name a row).
"""

from __future__ import annotations

import csv
import functools
import json
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jsonschema import Draft202012Validator

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, replacing

SCHEMAS = ROOT / "config" / "schemas"
DTYPES = {"integer": "Int64", "number": "float64", "boolean": "boolean", "string": "str"}
PROBLEMS_SHOWN = 10
_ROW_KEYWORDS = {"oneOf", "anyOf", "allOf", "not", "if", "then", "else"}
_INTEGER = re.compile(r"-?[0-9]{1,19}")
"""No Int64 has more digits; what has stays text, for the validation to name."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would calculate, with any apostrophes that keep it from doing so."""
_SHIELDED = re.compile(r"'+[=+\-@\t\r]")
_QUOTED = re.compile(r'[",\r\n]')


class MissingFileError(UserError, FileNotFoundError):
    """A CSV that should be there is not."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema file, ready to check columns one by one."""

    columns: dict[str, Any]
    """Column -> its JSON schema, in the order of writing."""
    kinds: dict[str, str]
    """Column -> integer, number, boolean or string."""
    row_rules: dict[str, Any]
    """What the schema says of several columns together."""
    sort: list[str]
    unique: list[str]


@functools.cache
def load_schema(name: str) -> Schema:
    """Read `config/schemas/<name>.schema.yaml`."""
    schema = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))
    columns = schema["properties"]
    kinds = {column: _kind(rule) for column, rule in columns.items()}
    rules = {key: rule for key, rule in schema.items() if key in _ROW_KEYWORDS}
    return Schema(columns, kinds, rules, schema["x-sort"], schema.get("x-unique", []))


def validate_frame(frame: pd.DataFrame, name: str, source: str, lines: Sequence[int] | None = None) -> None:
    """Check `frame` against schema `name`; `lines`: where each row starts, else counted as in a CSV, header = 1.

    Raises UserError with every problem (the first ten in full), each with its line and column.
    """
    schema, lines = load_schema(name), lines or range(2, len(frame) + 2)
    problems = [f"{source}, header: {problem}" for problem in _header_problems(list(frame.columns), schema)]
    if not problems:
        found = sorted(_cell_problems(frame, schema))
        problems = [f"{source}, line {lines[row]}, column {column}: {text}" for row, _, column, text in found]
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        tail = [f"and {more} more"] if more > 0 else []
        raise UserError("\n".join(problems[:PROBLEMS_SHOWN] + tail))


def write_csv(frame: pd.DataFrame, path: Path, name: str) -> None:
    """Validate, order and write in one step: UTF-8, `\\n`, missing empty, floats that read back exactly."""
    validate_frame(frame, name, str(path))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header_line(name))
        file.writelines(csv_lines(frame, name))


def header_line(name: str) -> str:
    """The first line of a CSV of schema `name`."""
    return ",".join(load_schema(name).columns) + "\n"


def csv_lines(frame: pd.DataFrame, name: str) -> Iterator[str]:
    """The lines below it of a frame that fits the schema, in its order, one after another."""
    schema = load_schema(name)
    ordered = _typed(frame, schema).sort_values(schema.sort, kind="stable", na_position="first")
    columns = [(_field(_plain(value)) for value in ordered[column].tolist()) for column in ordered]
    yield from (",".join(row) + "\n" for row in zip(*columns, strict=True))


def read_csv(path: Path, name: str) -> pd.DataFrame:
    """Read and validate: ids as str, integers as nullable Int64, empty as missing.

    Raises MissingFileError (also a FileNotFoundError) where there is no file, else UserError.
    """
    schema = load_schema(name)
    header, columns, lines = _records(path, schema)
    frame = pd.DataFrame(dict(enumerate(columns)), dtype=object)
    frame.columns = pd.Index(header)
    validate_frame(frame, name, str(path), lines)
    return _typed(frame, schema)


def _records(path: Path, schema: Schema) -> tuple[list[str], list[list[Any]], array[int]]:
    """Header, the values of each column, and the line each row starts on; a cut or ragged file is an error.

    Equal fields of a column that stand near each other are one object: 100,000 rows hold few others.
    """
    columns: list[list[Any]] = []
    lines = array("q")
    csv.field_size_limit(sys.maxsize)  # a judge's reply may be long
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            columns = [[] for _ in header]
            kinds = [schema.kinds.get(column, "") for column in header]
            parsers = [functools.lru_cache(maxsize=1024)(functools.partial(_parse, kind=kind)) for kind in kinds]
            line = reader.line_num + 1
            for row in reader:
                if len(row) != len(header):
                    raise UserError(
                        f"{path}, line {line}: {len(row)} fields, the header has {len(header)}. "
                        "The file is cut or edited: delete it and run its rule again."
                    )
                for column, parse, text in zip(columns, parsers, row, strict=True):
                    column.append(parse(text))
                lines.append(line)
                line = reader.line_num + 1
        with path.open("rb") as file:
            file.seek(-1, 2)
            whole = file.read() == b"\n"
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} is not a readable CSV file ({error}); delete it and run its rule again") from error
    if not whole:
        raise UserError(f"{path} ends within a line: it is cut; delete it and run its rule again")
    return header, columns, lines


def _parse(text: str, kind: str) -> Any:
    """The value a field holds; text that does not fit its kind stays text, for the validation to name."""
    if text == "":
        return None
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "string" and _SHIELDED.match(text):
        return text[1:]
    return text


def _field(value: Any) -> str:
    """One field; the csv module would leave a lone carriage return bare, and no reader take it back."""
    text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, str) and _FORMULA.match(text):
        text = f"'{text}"  # a judge's reply, say; `read_csv` takes the apostrophe away again
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _typed(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    plain = _plain_columns(frame, schema)
    return pd.DataFrame({column: pd.Series(plain[column], dtype=DTYPES[kind]) for column, kind in schema.kinds.items()})


def _plain_columns(frame: pd.DataFrame, schema: Schema) -> dict[str, list[Any]]:
    return {column: [_plain(value) for value in frame[column].tolist()] for column in schema.columns}


def _plain(value: Any) -> Any:
    """A cell as JSON knows it: missing and empty are None; what is not finite becomes text, so it fails."""
    if isinstance(value, str):
        return value or None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _kind(rule: dict[str, Any]) -> str:
    """One of DTYPES, which a column's schema names alone or beside null."""
    types = rule.get("type", "string")
    (named,) = {types} if isinstance(types, str) else {*types} - {"null"}
    return named


def _header_problems(found: list[Any], schema: Schema) -> Iterator[str]:
    known = list(schema.columns)
    for column in sorted({str(column) for column in found if column not in known}):
        yield f"column {column} is unknown.{nearest(column, known)}"
    for column in known:
        if found.count(column) != 1:
            yield f"column {column} is {'missing' if column not in found else 'there more than once'}"


def _cell_problems(frame: pd.DataFrame, schema: Schema) -> Iterator[tuple[int, int, str, str]]:
    """(row position, column position, column, message) of everything that does not fit."""
    plain = _plain_columns(frame, schema)
    bad: set[int] = set()
    for place, (column, rule) in enumerate(schema.columns.items()):
        for row, text in _check(plain[column], functools.partial(_problem, rule, Draft202012Validator(rule))):
            bad.add(row)
            yield row, place, column, text
    together = sorted(_named_columns(schema.row_rules), key=list(schema.columns).index)
    rows = list(zip(*(plain[column] for column in together), strict=True))
    validator = Draft202012Validator(schema.row_rules)

    def misfit(row: tuple[Any, ...]) -> str | None:
        fits = validator.is_valid(dict(zip(together, row, strict=True)))
        return None if fits else f"{_short(row)} do not go together"

    for row, text in _check(rows, misfit):
        if row not in bad:
            yield row, len(plain), "+".join(together), text
    seen: set[str] = set()
    for row, key in enumerate(zip(*(plain[column] for column in schema.unique), strict=True)):
        if repr(key) in seen:
            yield row, len(plain), "+".join(schema.unique), "a row of this key is above"
        seen.add(repr(key))


def _check(values: list[Any], problem: Callable[[Any], str | None]) -> Iterator[tuple[int, str]]:
    """Ask `problem` once per distinct value: 20,000 rows hold few of them, and jsonschema is slow."""
    asked = functools.lru_cache(maxsize=4096, typed=True)(problem)
    for row, value in enumerate(values):
        try:
            text = asked(value)
        except TypeError:  # a dict or a list has no hash
            text = problem(value)
        if text:
            yield row, text


def _problem(rule: dict[str, Any], validator: Draft202012Validator, value: Any) -> str | None:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{value} does not fit into 64 bits"
    if value is None and not validator.is_valid(value):
        return f"empty; expected {_kind(rule)}"
    for error in validator.iter_errors(value):
        return _short(error.message, quote=False)
    return _text_problem(value, rule.get("contentMediaType")) if isinstance(value, str) else None


def _text_problem(text: str, media_type: str | None) -> str | None:
    try:
        text.encode()
        if media_type == "application/json":
            json.loads(text)
    except UnicodeEncodeError:
        return f"{_short(text)} is no text that UTF-8 can hold"
    except ValueError:
        return f"{_short(text)} is not JSON"
    return None


def _short(value: Any, quote: bool = True) -> str:
    text = repr(value) if quote else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _named_columns(rule: Any) -> set[str]:
    """Every column that a rule over several columns speaks of."""
    if isinstance(rule, list):
        return set().union(*map(_named_columns, rule))
    if not isinstance(rule, dict):
        return set()
    return set(rule.get("properties", {})).union(*map(_named_columns, rule.values()))
