"""Local data files in the forms that data sets are released in: which files, their numbered records, their rows.

JSON Lines and CSV (plain or gzipped), JSON (a list, or lines after all), Parquet. What the hub serves is read here too,
once it lies in the hub's cache.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from prefrepro.data.jsonl import no_key_twice, open_plain, read_jsonl
from prefrepro.data.rows import Counts, OnBadRow, Parse, Row, checked_rows, refuse
from prefrepro.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
"""What counts in a folder; .json only where there is none of these, because folders hold other JSON too."""

Paths = str | Path | Sequence[str | Path]
"""A file, a folder, a glob, or several of these."""
Records = Iterable[tuple[int, dict[str, Any]]]
"""(number from 1, object)"""


def data_files(paths: Paths, split: str | None = None) -> list[Path]:
    """The files meant by `paths`, each once, sorted within each path.

    In a folder, and of what a glob finds, only files named for the split are taken where `split` is given:
    `train.jsonl.gz`, `harmless-base_train.jsonl`, `comparisons/train/0000.parquet`. A file named outright is taken as
    it is. Raises UserError where nothing is found.
    """
    found: dict[Path, Path] = {}
    for given in [paths] if isinstance(paths, str | Path) else paths:
        for file in _files_of(Path(given), split):
            found.setdefault(file.resolve(), file)
    if not found:
        raise UserError(
            "No data file was named; expected .jsonl, .jsonl.gz, .json or .parquet files, a folder or glob."
        )
    return list(found.values())


def _files_of(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        start = path
        every = sorted(file for file in path.rglob("*") if file.is_file())
        inside = [file for file in every if file.name.endswith(SUFFIXES)]
        inside = inside or [file for file in every if file.name.endswith(".json")]
    else:
        start = _fixed_part(path)
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207 -- Path.glob takes no absolute pattern
        inside = sorted(Path(name) for name in names if Path(name).is_file())
    if not inside:
        raise UserError(
            f"{path}: no such file, and no .jsonl, .jsonl.gz, .json or .parquet file in it or matched by it. "
            "Expected a file, a folder or a glob; a relative path starts at the folder of the command."
        )
    taken = [file for file in inside if split is None or _is_of(split, str(file.relative_to(start)))]
    if not taken:
        names = ", ".join(str(file.relative_to(start)) for file in inside[:5])
        raise UserError(f'{path}: no file of split "{split}" among {names}. Expected names such as {split}.jsonl.gz.')
    return taken


def _fixed_part(pattern: Path) -> Path:
    """The folder that a glob starts from: its name says nothing of a file's split."""
    parts = list(pattern.parts)
    free = next((place for place, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:free])


def _is_of(split: str, name: str) -> bool:
    """Whether `split` stands in a file's relative name as a word of its own."""
    return re.search(rf"(?<![a-zA-Z]){re.escape(split)}(?![a-zA-Z])", name) is not None


def read_records(path: Path, on_bad_row: OnBadRow = "stop", counts: Counts | None = None) -> Records:
    """Stream a file's records. Raises UserError for a file that cannot be read whole."""
    counts = counts if counts is not None else Counts()
    if path.suffix == ".parquet":
        return _read_parquet(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return _read_csv(path)
    if path.suffix == ".json" and _begins_with_bracket(path):
        return _read_list(path, on_bad_row, counts)
    return read_jsonl(path, on_bad_row, counts)


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as Parquet after row {number} ({error}). Fetch it again.") from error
    if not number:
        raise UserError(f"{path}: row 1 is missing, the file is empty. Expected at least one row.")


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records by the names of the first line; a field may hold newlines, and a record that lacks one holds None."""
    number = 0
    try:
        with io.TextIOWrapper(open_plain(path), encoding="utf-8-sig", newline="") as file:
            for number, record in enumerate(csv.DictReader(file, strict=True), start=1):
                yield number, record
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV after record {number} ({error}). Fetch it again.") from error
    if not number:
        raise UserError(f"{path}: no record in it. Expected a line of column names and at least one record.")


def _begins_with_bracket(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}). Expected a JSON file.") from error


def _read_list(path: Path, on_bad_row: OnBadRow, counts: Counts) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        values = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: not a JSON list ({error}). Expected a whole file; fetch it again.") from error
    if not values:
        raise UserError(f"{path}: the list is empty. Expected at least one object.")
    for number, value in enumerate(values, start=1):
        if isinstance(value, dict):
            yield number, value
        else:
            problem = f"JSON of type {type(value).__name__}; expected a JSON object"
            refuse(f"{path}, line {number}", problem, on_bad_row, counts)


def load_rows(
    paths: Paths, parse: Parse[Row], *, split: str | None = None, on_bad_row: OnBadRow = "stop", counts: Counts
) -> Iterator[Row]:
    """The rows that `parse` makes of the records of local files.

    Raises UserError at the first bad row, or, where they are skipped, if no row is left.
    """
    files, before = data_files(paths, split), counts["rows"]
    for file in files:
        yield from checked_rows(read_records(file, on_bad_row, counts), str(file), parse, on_bad_row, counts)
    if counts["rows"] == before:
        places = counts.first_locations.get("bad_rows")
        first = f"The first: {places[0]}." if places else "Expected at least one."
        raise UserError(f"{files[0]}: no usable row ({counts['bad_rows']} bad). {first}")
