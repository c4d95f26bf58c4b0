"""Local JSONL, plain or gzipped: which files, their numbered records, and rows in canonical columns."""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from prefrepro.data.rows import Counts, OnBadRow, Row, preference_rows, refuse
from prefrepro.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz")
GZIP_MAGIC = b"\x1f\x8b"
LFS_POINTER = b"version https://git-lfs"

Paths = str | Path | Sequence[str | Path]
"""A file, a folder, a glob, or several of these."""


def jsonl_files(paths: Paths, split: str | None = None) -> list[Path]:
    """The files meant by `paths`, each once, sorted within each path.

    In a folder, and of what a glob finds, only files named for the split are taken where `split` is given:
    `train.jsonl.gz`, `harmless-base_train.jsonl`. A file named outright is taken as it is.
    """
    found: dict[Path, Path] = {}
    for given in [paths] if isinstance(paths, str | Path) else paths:
        for file in _files_of(Path(given), split):
            found.setdefault(file.resolve(), file)
    if not found:
        raise UserError("No data file was named; expected a .jsonl or .jsonl.gz file, a folder or a glob.")
    return list(found.values())


def _files_of(path: Path, split: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
    else:
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207 -- Path.glob takes no absolute pattern
        inside = sorted(Path(name) for name in names if Path(name).is_file())
    if not inside:
        raise UserError(
            f"{path}: no such file, and no .jsonl or .jsonl.gz file in it or matched by it. "
            "Expected a file, a folder or a glob; a relative path starts at the folder of the command."
        )
    taken = [file for file in inside if split is None or file.name.split(".jsonl")[0].endswith(split)]
    if not taken:
        names = ", ".join(file.name for file in inside[:5])
        raise UserError(f'{path}: no file of split "{split}" among {names}. Expected names such as {split}.jsonl.gz.')
    return taken


def read_jsonl(
    path: Path, on_bad_row: OnBadRow = "stop", counts: Counts | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (line number from 1, object); blank lines are passed over.

    A line that is not a JSON object in UTF-8 is a bad row. A file that is missing, empty or cut short stops
    the load in every case, because what it lost cannot be counted.
    """
    number, counts = 0, counts if counts is not None else Counts()
    any_line = False
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                any_line = True
                try:
                    yield number, _object(line)
                except _BadLine as bad:
                    refuse(f"{path}, line {number}", str(bad), on_bad_row, counts)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: the gzip stream breaks off or is damaged after line {number} ({error}). "
            "Expected a whole file; fetch it again."
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}). Expected a JSONL file.") from error
    if not any_line:
        raise UserError(f"{path}: line 1 is missing, the file is empty. Expected one JSON object per line.")


class _BadLine(Exception):
    pass


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    with path.open("rb") as file:
        head = file.read(len(LFS_POINTER))
    if head == LFS_POINTER:
        raise UserError(
            f"{path}, line 1: a Git LFS pointer; expected the data itself. Run `git lfs pull` in its clone."
        )
    if head.startswith(GZIP_MAGIC):
        return gzip.open(path, "rb")
    if head and path.name.endswith(".gz"):
        raise UserError(f"{path}: not in gzip format, against its name. Fetch it again, or take .gz off its name.")
    return path.open("rb")


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02x} at position {error.start} is not UTF-8"
        raise _BadLine(f"{found}; expected a JSON object in UTF-8") from None
    except json.JSONDecodeError as error:
        raise _BadLine(f"not valid JSON ({error.msg}, column {error.colno}); expected a JSON object") from None
    except (ValueError, RecursionError) as error:
        raise _BadLine(f"not readable as JSON ({error}); expected a JSON object") from None
    if not isinstance(value, dict):
        raise _BadLine(f"JSON of type {type(value).__name__}; expected a JSON object")
    return value


def load_jsonl(
    paths: Paths,
    *,
    split: str | None = None,
    on_bad_row: OnBadRow = "stop",
    counts: Counts,
    rows_of: Callable[[Iterable[tuple[int, dict[str, Any]]], str, OnBadRow, Counts], Iterator[Row]] = preference_rows,
) -> Iterator[Row]:
    """Rows of local files in canonical columns (`rows_of`: preference_rows or ranked_rows).

    Raises UserError at the first bad row, or, where they are skipped, if no row is left.
    """
    files = jsonl_files(paths, split)
    for file in files:
        yield from rows_of(read_jsonl(file, on_bad_row, counts), str(file), on_bad_row, counts)
    if not counts["rows"]:
        raise UserError(f"{files[0]}: no usable row ({counts['bad_rows']} bad). {_first_bad(counts)}")


def _first_bad(counts: Counts) -> str:
    places = counts.first_locations.get("bad_rows")
    return f"The first: {places[0]}." if places else "Expected at least one."
