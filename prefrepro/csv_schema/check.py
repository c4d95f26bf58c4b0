"""A schema file, and what of a frame does not fit it: the half of `schema` that touches no CSV."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jsonschema import Draft202012Validator

from prefrepro.errors import UserError, nearest

SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"
DTYPES = {"integer": "Int64", "number": "float64", "boolean": "boolean", "string": "str"}
PROBLEMS_SHOWN = 10
_ROW_KEYWORDS = {"oneOf", "anyOf", "allOf", "not", "if", "then", "else"}


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
    path = SCHEMAS / f"{name}.schema.yaml"
    if not path.is_file():
        known = sorted(file.name.removesuffix(".schema.yaml") for file in SCHEMAS.glob("*.schema.yaml"))
        raise UserError(f"no schema {name!r} in {SCHEMAS}. Known: {', '.join(known)}.{nearest(name, known)}")
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    columns = schema["properties"]
    kinds = {column: _kind(rule) for column, rule in columns.items()}
    rules = {key: rule for key, rule in schema.items() if key in _ROW_KEYWORDS}
    return Schema(columns, kinds, rules, schema["x-sort"], schema.get("x-unique", []))


def hold(frame: pd.DataFrame, schema: Schema, source: str, lines: Sequence[int]) -> None:
    """Raise one UserError with every problem (the first ten in full), if there is any."""
    problems = [f"{source}, header: {problem}" for problem in _header_problems(list(frame.columns), schema)]
    if not problems:
        found = sorted(_cell_problems(frame, schema))
        problems = [f"{source}, line {lines[row]}, column {column}: {text}" for row, _, column, text in found]
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        tail = [f"and {more} more"] if more > 0 else []
        raise UserError("\n".join(problems[:PROBLEMS_SHOWN] + tail))


def plain_value(value: Any) -> Any:
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
    types = rule.get("type", "string")
    named = [kind for kind in ([types] if isinstance(types, str) else types) if kind != "null"]
    if len(named) != 1 or named[0] not in DTYPES:
        raise UserError(f"a column is one of {', '.join(DTYPES)}, with or without null; the schema says {types}")
    return named[0]


def _header_problems(found: list[Any], schema: Schema) -> Iterator[str]:
    known = list(schema.columns)
    for column in sorted({str(column) for column in found if column not in known}):
        yield f"column {column} is unknown.{nearest(column, known)}"
    for column in known:
        if found.count(column) != 1:
            yield f"column {column} is {'missing' if column not in found else 'there more than once'}"


def _cell_problems(frame: pd.DataFrame, schema: Schema) -> Iterator[tuple[int, int, str, str]]:
    """(row position, column position, column, message) of everything that does not fit."""
    plain = {column: [plain_value(value) for value in frame[column].tolist()] for column in schema.columns}
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
