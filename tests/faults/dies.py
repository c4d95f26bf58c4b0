"""`python dies.py N MODULE …`: `python -m MODULE …`, killed just before it changes files the N-th time.

Counted are the openings for writing, renames, removals and new folders below the working directory, which it names on
stderr with their number where N is 0. A kill by the clock hardly ever meets them.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SAID = "changes of files: "


def watch(kill_at: int, folder: Path) -> list[str]:
    """Names of the changes so far, grown as they are made."""
    made: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING)
        if not is_change or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 -- Path.resolve would open files
        if not path.startswith(f"{folder}/results/"):
            return
        made.append(event)
        if len(made) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    return made


if __name__ == "__main__":
    number, module = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    sys.path[0] = str(Path.cwd())
    changes = watch(number, Path.cwd())
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stderr.write(f"{SAID}{len(changes)}\n")
