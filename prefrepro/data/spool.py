"""JSON lines that wait on disk: what a data set of any size is held in between reading and writing.

A temporary file without a name, gone with its object. Knows nothing of what a line means.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]


class Spool:
    """An append-only list of objects. Iterate it as often as wanted, once it is full."""

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
