"""What a data set's file leaves open about the form of its rows, settled by a look at the files while planning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.data.forms.files import OURS, files_of, first_records
from prefrepro.data.forms.recognise import BESIDE, FORMS, LOOKED_AT, Form, recognise
from prefrepro.data.hub import local_files, stand_in
from prefrepro.errors import UserError

CANONICAL = ("pairs", "ranked")
"""Forms that prefrepro/data/sources.py reads by itself, where nothing stands beside their columns"""
Source = Mapping[str, Any]


def listed(source: Source) -> list[Path]:
    """The local files of a `kind: rows`; none where the hub serves them."""
    given = source.get("files") or stand_in(source.get("repo"))
    if isinstance(given, str) and Path(given).is_dir() and not _is_read_by_names(source):
        return files_of(given, None, source.get("config"))
    return local_files(source)


def _is_read_by_names(source: Source) -> bool:
    """Whether a folder's files are told by their names, as sources.py does, and not by `datasets`."""
    if "config" in source or "columns" in source or source.get("form", "pairs") not in CANONICAL:
        return False
    try:
        return bool(local_files(source))
    except UserError:
        return False


def with_form(source: Source, where: str) -> dict[str, Any]:
    """A `kind: rows` with its `form`, and with `columns` where prefrepro/data/forms has to read it.

    Raises UserError where the files have another form than is said, or one that is not certain; where the form is not
    said and the files are on the hub.
    """
    files, form = listed(source), source.get("form")
    if not files and form is None:
        raise UserError(
            f"{where}: form is missing, and rows on the hub cannot be looked at while planning. Next: prefrepro data "
            f"inspect {source.get('repo')}, which downloads them and names it. Known: {', '.join(FORMS)}"
        )
    found = agreed([looked_at(source, file) for file in files], files) if files else None
    name, columns = (found.name, found.columns) if found else (str(form), dict(source.get("columns", {})))
    is_read_alone = not files or (_is_read_by_names(source) and all(file.name.endswith(OURS) for file in files))
    if lost := [c for role, c in source.get("columns", {}).items() if found and role in BESIDE and role not in columns]:
        raise UserError(
            f"{where}: `columns` names {', '.join(lost)}, which no row of the first {LOOKED_AT} of any file has. "
            "Name a column that is there, or leave it out"
        )
    is_plain = name in CANONICAL and not columns and is_read_alone and not {"config", "columns"} & source.keys()
    return {**source, "form": name} if is_plain else {**source, "form": name, "columns": columns}


def looked_at(source: Source, file: Path) -> Form:
    """The form of a file. Raises UserError where it is another than the data set's file says."""
    columns = tuple(source.get("columns", {}).items())
    return _looked_at(file, file.stat().st_mtime_ns, source.get("form"), columns)


@cache
def _looked_at(file: Path, _changed_ns: int, form: str | None, given: tuple[tuple[str, str], ...]) -> Form:
    rows, columns = first_records(file, LOOKED_AT), dict(given)
    found = recognise(rows, str(file), form, columns)
    if form == "pairs" and not columns and found.is_certain:  # others have the same columns, and mean something else
        likely = recognise(rows, str(file))
        if likely.name != form:
            raise UserError(
                f"{file}: the rows are {likely.title}, but the data set's file says form: {form}. Write there "
                f"{likely.yaml}, or columns: {{prompt: prompt}} to take each prompt as one message"
            )
    return found


def agreed(forms: list[Form], files: list[Path]) -> Form:
    """The one form of several files, with what any has beside the prompt. Raises UserError where they differ."""
    first = forms[0]
    for number, other in enumerate(forms):
        if other.name != first.name:
            raise UserError(
                f"{files[number]}: form {other.name}, but {files[0]} has form {first.name}. Name files of one form, or "
                f"say which: {first.yaml}"
            )
    columns = {role: column for form in reversed(forms) for role, column in form.columns.items()}
    return replace(first, columns=columns)
