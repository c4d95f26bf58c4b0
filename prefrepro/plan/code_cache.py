"""What was read from source files, kept beside the compiled ones, so that the next process need not parse them again.

An entry holds for a file's content, this version of Python and this version of what reads; whatever else is found,
also a torn file, is read anew. Knows nothing of what is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefrepro.files import replacing

Parsed = tuple[str, list[str]]


class CodeCache:
    """Source file -> what `parse` found in it, in memory and in `file`; `version` is of `parse`."""

    def __init__(self, file: Path, version: str) -> None:
        self.file, self.version = file, f"{version} python {platform.python_version()}"
        self._now: dict[Path, Parsed] = {}
        self._kept: dict[str, Any] | None = None
        self._is_new = False

    def get(self, path: Path, parse: Callable[[Path], Parsed]) -> Parsed:
        """What `parse` says of `path`: asked once in a process, and not at all where the kept content is this."""
        if path not in self._now:
            if self._kept is None:
                self._kept = self._load()
            content = hashlib.sha256(self.version.encode() + path.read_bytes()).hexdigest()
            match self._kept.get(str(path)):
                case [str(of), str(digest), [*names]] if of == content:
                    self._now[path] = digest, names
                case _:
                    self._now[path] = parse(path)
                    self._kept[str(path)] = [content, *self._now[path]]
                    self._is_new = True
        return self._now[path]

    def save(self) -> None:
        """Keep what is new; where nothing may be written, each process parses for itself."""
        if self._is_new:
            with contextlib.suppress(OSError), replacing(self.file) as temporary:
                temporary.write_text(json.dumps(self._kept), encoding="utf-8")
        self._is_new = False

    def _load(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
