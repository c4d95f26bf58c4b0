"""Encoded sequences of a data set of any size: token ids wait on disk, and memory holds 24 bytes for each sequence.

They wait in a temporary file without a name, gone with its object, or in a named one, which later jobs find.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prefrepro.errors import UserError

Item = TypeVar("Item")
END = struct.Struct("<qqL")
"""The last bytes of a named file: how many sequences it holds, bytes of its facts, checksum of all before."""
READ_BYTES = 2**24


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
def _told(file: Any, where: str, ends: array[int]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        file.raw.close()  # or the object's end would try to write the rest
        raise UserError(
            f"{where}: token ids of the data could not be written ({error}) after {len(ends) - 1:,} "
            f"sequences and {4 * ends[-1]:,} bytes. Next: make room there, or name a folder that has it in TMPDIR"
        ) from error


def on_disk(
    sequences: Iterable[Tokens], facts: Callable[[], dict[str, Any]] = dict, path: Path | None = None
) -> tuple[Lazy[Tokens], dict[str, Any]]:
    """The same sequences in the same order, read back one by one, and `facts()` of them all, which JSON can hold.

    `path`: where an earlier job may have left both; then they are read from there, else left there, whole or not at
    all. The name has to say all that they are made of. No file position moves, so forks share.
    Raises UserError where there is no room for them.
    """
    if path is not None and (kept := _kept(path)):
        return kept
    folder = path.parent if path and os.access(path.parent, os.W_OK) else None
    handle, name = tempfile.mkstemp(dir=folder, prefix=".tokens.")
    file: Any = os.fdopen(handle, "w+b")  # lives as long as what reads it
    where, checksum, ends, prompts = str(Path(name).parent), 0, array("q", [0]), array("q")
    """Sequence i stands between ends[i] and ends[i + 1], its response from prompts[i]; in tokens."""
    try:
        for sequence in sequences:
            ids = array("i", sequence.prompt_ids)
            prompts.append(ends[-1] + len(ids))
            ids.extend(sequence.response_ids)
            ends.append(prompts[-1] + len(sequence.response_ids))
            checksum = zlib.crc32(ids, checksum)
            with _told(file, where, ends):
                file.write(ids)
        found = facts()
        with _told(file, where, ends):
            if folder:
                told = json.dumps(found).encode()
                for part in (ends, prompts, told):
                    checksum = zlib.crc32(part, checksum)
                    file.write(part)
                file.write(END.pack(len(prompts), len(told), checksum))
            file.flush()
            if folder and path:
                os.fchmod(handle, 0o644)
                Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)  # what is open can be read without its name
    return _lazy(file, ends, prompts), found


def _lazy(file: Any, ends: array[int], prompts: array[int]) -> Lazy[Tokens]:
    def read(start: int, end: int) -> list[int]:
        ids = array("i")
        ids.frombytes(os.pread(file.fileno(), ids.itemsize * (end - start), ids.itemsize * start))
        return ids.tolist()

    return Lazy(len(prompts), lambda i: Tokens(read(ends[i], prompts[i]), read(prompts[i], ends[i + 1])))


def _kept(path: Path) -> tuple[Lazy[Tokens], dict[str, Any]] | None:
    """What a file holds; None where it is not there, or not as it was written."""
    with suppress(OSError, struct.error, ValueError):
        file, checksum = path.open("rb"), 0
        left = os.fstat(file.fileno()).st_size - END.size
        n, size, expected = END.unpack(os.pread(file.fileno(), END.size, max(left, 0)))
        tail = 8 * (2 * n + 1) + size
        at = left - tail
        while left > 0:
            part = file.read(min(left, READ_BYTES))
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        if checksum == expected and at >= 0:
            ends, prompts = array("q"), array("q")
            ends.frombytes(os.pread(file.fileno(), 8 * (n + 1), at))
            prompts.frombytes(os.pread(file.fileno(), 8 * n, at + 8 * (n + 1)))
            return _lazy(file, ends, prompts), json.loads(os.pread(file.fileno(), size, at + tail - size))
        file.close()
    return None
