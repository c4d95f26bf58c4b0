"""Files of every form with rows spoiled, mixed or cut: read, or refused in a message that names the file; and of a file
that is read, every row is handed on or counted."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from form_rows import READ
from hypothesis import given
from hypothesis import strategies as st
from mutations import FEW, cases, refusal, spoiled_bytes

from prefrepro.data.forms.files import first_records, load
from prefrepro.data.forms.parse import parse_form
from prefrepro.data.forms.recognise import FORMS, LOOKED_AT, recognise
from prefrepro.data.rows import Counts
from prefrepro.data.sources import line_of

pytestmark = pytest.mark.fuzz
RECORDS = {name: [case[2] for case in READ if case[1] == name] for name in FORMS}
RECORDS["alpaca_outputs"] = [{"instruction": "Two?", "input": "", "output": ["2", "5"]}]
RECORDS["implicit_text"] = [{"chosen": "Two is 2.", "rejected": "Two is 5."}]
EVERY = [record for records in RECORDS.values() for record in records]
NAME = "train"
INVALID = json.loads('"\\ud800"')
ODD = st.sampled_from(
    [None, 3, "text", [], [None], {"a": INVALID}, {"prompt": INVALID, "chosen": "a", "rejected": "b"}]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


def rows_of(records: list[Any]) -> st.SearchStrategy[list[Any]]:
    """A file's rows: whole ones of a form, some with one thing wrong, some of another form, some nothing at all."""
    whole = st.sampled_from(records)
    spoiled = whole.flatmap(cases).map(lambda case: case.value)
    return st.lists(whole | whole | whole | spoiled | spoiled | st.sampled_from(EVERY) | ODD, min_size=1, max_size=8)


def written(folder: Path, kind: str, rows: list[Any]) -> tuple[Path, int]:
    """A file of this kind, and how many rows it has."""
    path = folder / f"{NAME}.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        objects = [row for row in rows if isinstance(row, dict)] or [{"prompt": "a"}]
        columns, file = sorted({str(name) for row in objects for name in row}), io.StringIO()
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        rows = [
            {str(name): json.dumps(value) if isinstance(value, list | dict) else value for name, value in row.items()}
            for row in objects
        ]
        writer.writerows(rows)
        path.write_text(file.getvalue(), encoding="utf-8", errors="replace")
    return path, len(rows)


def read(path: Path, form: str | None, on_bad_row: Any, n_rows: int | None) -> Callable[[], None]:
    def call() -> None:
        counts, n_read, is_whole = Counts(), 0, False
        found = recognise(first_records(path, LOOKED_AT), str(path), form)
        parse = functools.partial(parse_form, form=found.name, columns=found.columns)
        try:
            for row in load(path, parse, on_bad_row=on_bad_row, counts=counts):
                json.dumps(line_of(row), ensure_ascii=False, allow_nan=False).encode()
                n_read += 1
            is_whole = True
        finally:
            assert n_read == counts["rows"]
            if is_whole or (on_bad_row == "skip" and not n_read and n_rows is not None):
                assert counts["rows"] + counts["bad_rows"] + counts["left_out"] == (n_rows or _lines(path))

    return call


def _lines(path: Path) -> int:
    return sum(1 for line in path.read_bytes().split(b"\n") if line.strip())


@pytest.mark.parametrize("form", FORMS)
@FEW
@given(data=st.data())
def test_no_row_is_lost_without_a_count(folder: Path, form: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(RECORDS[form]))
    path, n_rows = written(folder, data.draw(st.sampled_from(["jsonl", "json", "csv"])), rows)
    stated = data.draw(st.sampled_from([None, form, form]))
    refusal(read(path, stated, data.draw(st.sampled_from(["stop", "skip"])), n_rows), names=(path.name,))


@FEW
@given(st.sampled_from(sorted(FORMS)), st.data())
def test_bytes_of_forms(folder: Path, form: str, data: st.DataObject) -> None:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS[form] * 2)
    path = folder / f"{NAME}.jsonl"
    path.write_bytes(data.draw(spoiled_bytes(lines)))
    refusal(read(path, data.draw(st.sampled_from([None, form])), "skip", None), names=(path.name,))


@FEW
@given(
    st.lists(st.sampled_from(EVERY), min_size=1, max_size=6), st.sampled_from(["prompt", "chosen", "system"]), st.data()
)
def test_columns_that_are_named(folder: Path, rows: list[Any], role: str, data: st.DataObject) -> None:
    path, _ = written(folder, "jsonl", rows)
    column = data.draw(st.sampled_from([*sorted({name for row in rows for name in row}), "nothing"]))

    def call() -> None:
        found = recognise(first_records(path, LOOKED_AT), str(path), None, {role: column})
        counts, parse = Counts(), functools.partial(parse_form, form=found.name, columns=found.columns)
        read_rows = list(load(path, parse, on_bad_row="skip", counts=counts))
        assert len(read_rows) + counts["bad_rows"] + counts["left_out"] == len(rows)

    refusal(call, names=(path.name,))
