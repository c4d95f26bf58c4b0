"""A file, folder or hub id as a data set: which form or kind its rows have, and its rows, each with what is counted."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefrepro.data.forms import recognise as forms
from prefrepro.data.forms.files import files_of, first_records, records_of
from prefrepro.data.forms.parse import parse_form
from prefrepro.data.forms.settle import agreed, looked_at
from prefrepro.data.hub import resolve
from prefrepro.data.rows import BadRow, Counts, Note, Parse, checked_rows
from prefrepro.data.sources import PARSERS
from prefrepro.errors import UserError, nearest
from prefrepro.sample.outputs import FORMS

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".gz")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
KINDS = ("tldr", "tldr_judged", "qa_feedback")
"""Released data sets with a kind of their own; other kinds are forms of rows too."""
TRY = {name: roles for name, roles in forms.SUGGESTED.items() if name != "implicit"}
PAIRED = ("tldr", "tldr_judged")
Seen = Callable[[Any, Note], None]
"""Called with each row and what counts something at it."""


@dataclass(slots=True)
class Opened:
    """A data set before it is read."""

    given: str
    files: list[Path]
    parse: Parse[Any]
    title: str
    shape: str
    """pairs | ranked | unpaired"""
    keys: dict[str, Any]
    """What selects the reading in a file of config/datasets: kind, and form or columns where they are needed"""
    unused: tuple[str, ...] = ()
    """Columns that are not read"""
    place: dict[str, Any] = field(default_factory=dict)
    """files, or repo and revision, as a file of config/datasets names them"""

    def rows(self, seen: Seen) -> tuple[Counts, int]:
        """(what reading counted, records that were read and left out); `seen` is called with every row that is read.

        Bad rows are counted, and stop nothing. Raises UserError for a file that cannot be read whole.
        """
        counts, left_out = Counts(), 0

        def parse(record: dict[str, Any], note: Note) -> Any:
            nonlocal left_out
            row = self.parse(record, note)
            if row is None:
                left_out += 1
            else:
                seen(row, note)
            return row

        for file in self.files:
            for _ in checked_rows(records_of(file, "skip", counts), str(file), parse, "skip", counts):
                pass
        return counts, left_out

    def first_with(self, wanted: Callable[[Any], bool], most: int) -> str | None:
        """Where among the first rows of the first file one is as `wanted`; bad rows are passed over."""
        for number, record in enumerate(first_records(self.files[0], most), start=1):
            with contextlib.suppress(BadRow):
                row = self.parse(record, lambda _: None)
                if row is not None and wanted(row):
                    return f"{self.files[0]}, row {number}"
        return None


def opened(given: str, form: str | None, columns: dict[str, str], revision: str | None = None) -> Opened:
    """The data set at a path or hub id. Raises one UserError where no form or kind fits, with the YAML that helps."""
    if form and form not in forms.FORMS:
        raise UserError(f'form "{form:.80}" is unknown. Known: {", ".join(forms.FORMS)}.{nearest(form, forms.FORMS)}')
    place, found = _place(given, revision)
    files = files_of(str(found), None)
    source = {key: value for key, value in (("form", form), ("columns", columns)) if value}
    try:
        said = agreed([looked_at(source, file) for file in files], files)
    except UserError as error:
        first = first_records(files[0], forms.LOOKED_AT)
        for _ in () if first else records_of(files[0]):
            break  # where no line can be read, the first says why
        if of_one := next(
            (name for name, one in FORMS.items() if _all_have(first, set(one.values()) - {"prompt"})), None
        ):
            raise UserError(
                f"{files[0]}: {of_one} of one model, no preferences. Next: prefrepro import-samples has them judged"
            ) from None
        kind = None if source else _kind(first)
        if kind is None:
            raise UserError(f"{error}{_hint(first, form, columns)}") from None
        of_kind = {"kind": kind} | ({} if kind in PAIRED else {"form": "ranked"})
        shape = "pairs" if kind in PAIRED else "ranked"
        return Opened(given, files, PARSERS[kind][0], f"{kind}, as released", shape, of_kind, (), place)
    parse = functools.partial(parse_form, form=said.name, columns=said.columns)
    keys = {"kind": "rows", "form": said.name} | ({"columns": columns} if columns else {})
    return Opened(given, files, parse, said.title, said.shape, keys, said.unused, place)


def _place(given: str, revision: str | None) -> tuple[dict[str, Any], Any]:
    """(as a data set's file names it, where to read)"""
    if Path(given).exists():
        return {"files": given}, Path(given)
    if not HUB_ID.fullmatch(given) or given.endswith(SUFFIXES):
        raise UserError(f"{given} does not exist; expected a file, a folder or a hub id such as owner/name")
    found = resolve(given, revision)
    pinned = found.record.get("commit") or revision
    return {"repo": given, "revision": pinned}, found.paths


def _all_have(records: list[dict[str, Any]], columns: set[str]) -> bool:
    return bool(records) and all(columns <= record.keys() for record in records)


def _hint(first: list[dict[str, Any]], form: str | None, columns: dict[str, str]) -> str:
    """What to try next: how a form is given here or, where one was given, what is wrong with the first row."""
    if form is None:
        tried = (f"--form {name} --columns {','.join(f'{role}=…' for role in roles)}" for name, roles in TRY.items())
        return f"\nTo try it here: {' or '.join(tried)}"
    try:
        for record in first[:1]:
            parse_form(record, lambda _: None, form=form, columns=forms.FORMS[form]["columns"] | columns)
    except (BadRow, KeyError) as error:
        return f"\nIts first row, read as {form}: {error}"
    return ""


def _kind(first: list[dict[str, Any]]) -> str | None:
    """The kind whose released columns the first rows have."""

    def reads(kind: str, record: dict[str, Any]) -> bool:
        try:
            PARSERS[kind][0](record, lambda _: None)
        except BadRow:
            return False
        return True

    fitting: Iterator[str] = (kind for kind in KINDS if 2 * sum(reads(kind, one) for one in first) >= len(first) > 0)
    return next(fitting, None)
