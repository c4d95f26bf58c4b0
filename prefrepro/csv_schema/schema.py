"""Tidy CSVs with one schema file each, held on write and on read.

`config/schemas/<name>.schema.yaml` is a JSON schema of one row, with two keys of ours: `x-sort` (the order of
the rows) and `x-unique` (the columns that name a row). Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import csv
import functools
import re
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.csv_schema.check import DTYPES, Schema, hold, load_schema, plain_value
from prefrepro.errors import UserError
from prefrepro.files import replacing

_INTEGER = re.compile(r"-?[0-9]{1,19}")
"""No Int64 has more digits; what has stays text, for the validation to name."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would calculate, with any apostrophes that keep it from doing so."""
_SHIELDED = re.compile(r"'+[=+\-@\t\r]")
_QUOTED = re.compile(r'[",\r\n]')


class MissingFileError(UserError, FileNotFoundError):
    """A CSV that should be there is not."""


def validate_frame(frame: pd.DataFrame, name: str, source: str) -> None:
    """Hold `frame` against schema `name`; lines are counted as in the CSV, header = 1.

    Raises UserError with every problem (the first ten in full), each with its line and column.
    """
    hold(frame, load_schema(name), source, range(2, len(frame) + 2))


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
    columns = [(_field(plain_value(value)) for value in ordered[column].tolist()) for column in ordered]
    yield from (",".join(row) + "\n" for row in zip(*columns, strict=True))


def read_csv(path: Path, name: str) -> pd.DataFrame:
    """Read and validate: ids as str, integers as nullable Int64, empty as missing.

    Raises MissingFileError (also a FileNotFoundError) where there is no file, else UserError.
    """
    schema = load_schema(name)
    header, columns, lines = _records(path, schema)
    frame = pd.DataFrame(dict(enumerate(columns)), dtype=object)
    frame.columns = pd.Index(header)
    hold(frame, schema, str(path), lines)
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
    plain = {column: [plain_value(value) for value in frame[column].tolist()] for column in schema.columns}
    return pd.DataFrame({column: pd.Series(plain[column], dtype=DTYPES[kind]) for column, kind in schema.kinds.items()})
