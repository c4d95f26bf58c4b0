"""JSON Lines: the numbered records of one file, plain or gzipped, and lines that wait on disk to be written."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from prefrepro.data.rows import BadRow, Counts, OnBadRow, refuse
from prefrepro.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
LFS_POINTER = b"version https://git-lfs"
Line = dict[str, Any]


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
        with open_plain(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                any_line = True
                try:
                    yield number, _object(line)
                except BadRow as bad:
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


def open_plain(path: Path) -> BufferedReader | gzip.GzipFile:
    """A file's bytes, unzipped where it is gzipped. Raises UserError where its name and content do not agree."""
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


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError where a key is there twice, because nobody knows which value is meant."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.60} is there twice")
    return made


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"), object_pairs_hook=no_key_twice)
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02x} at position {error.start} is not UTF-8"
        raise BadRow(f"{found}; expected a JSON object in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadRow(f"not valid JSON ({error.msg}, column {error.colno}); expected a JSON object") from None
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not readable as JSON ({error}); expected a JSON object") from None
    if not isinstance(value, dict):
        raise BadRow(f"JSON of type {type(value).__name__}; expected a JSON object")
    return value


class Spool:
    """An append-only list of objects in a temporary file without a name, gone with its object.

    Iterate it as often as wanted, once it is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 -- lives as long as we
        self._count = 0

    def append(self, line: Line) -> None:
        """Add one object."""
        self._file.write(text_of(line))
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Line]:
        return map(json.loads, self.texts())

    def texts(self) -> Iterator[str]:
        """The lines as they are written, each with its newline."""
        self._file.seek(0)
        yield from self._file


def text_of(line: Line) -> str:
    """One line of a JSONL file."""
    return json.dumps(line, ensure_ascii=False) + "\n"
