"""Encoded sequences of a data set of any size: token ids wait on disk, and memory holds 24 bytes for each sequence.

A temporary file without a name, gone with its object.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from prefrepro.errors import UserError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt and one response; `response_ids` ends with EOS."""

    prompt_ids: list[int]
    response_ids: list[int]


class Lazy(Sequence[Item]):
    """`n` items, each made by `item` whenever it is asked for."""

    def __init__(self, n: int, item: Callable[[int], Item]) -> None:
        self._places, self._item = range(n), item

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        found = self._places[at]
        return self._item(found) if isinstance(found, int) else [self._item(place) for place in found]


@contextmanager
def _told(file: Any, ends: array[int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        file.raw.close()  # or the object's end would try to write the rest
        raise UserError(
            f"{tempfile.gettempdir()}: token ids of the data could not be written ({error}) after {len(ends) - 1:,} "
            f"sequences and {4 * ends[-1]:,} bytes. Next: make room there, or name a folder that has it in TMPDIR"
        ) from error


def on_disk(sequences: Iterable[Tokens]) -> Lazy[Tokens]:
    """The same sequences in the same order, read back one by one; no file position moves, so forks share.

    Raises UserError where the folder of temporary files has no room.
    """
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as what reads it
    ends, prompts = array("q", [0]), array("q")
    """Sequence i stands between ends[i] and ends[i + 1], its response from prompts[i]; in tokens."""
    for sequence in sequences:
        ids = array("i", sequence.prompt_ids)
        prompts.append(ends[-1] + len(ids))
        ids.extend(sequence.response_ids)
        ends.append(prompts[-1] + len(sequence.response_ids))
        with _told(file, ends):
            file.write(ids)
    with _told(file, ends):
        file.flush()

    def read(start: int, end: int) -> list[int]:
        ids = array("i")
        ids.frombytes(os.pread(file.fileno(), ids.itemsize * (end - start), ids.itemsize * start))
        return ids.tolist()

    return Lazy(len(prompts), lambda i: Tokens(read(ends[i], prompts[i]), read(prompts[i], ends[i + 1])))
