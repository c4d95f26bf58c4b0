"""Gets back the replies that a torn cache file still holds, so that they need not be paid for again.

    python -m prefrepro.judge.salvage results/embedded/judge_cache.sqlite

Each reply that can be read, answers the request it stands beside and is whole JSON goes into a new file, which takes
the torn one's place; that stays beside it, under another name. Run it while nothing judges.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.cache import PAGE, ReplyCache, Row, cache_key

SMALLEST_ROW = 100
"""Bytes of a reply at least: bounds the rows to look for where the file does not say how many it had."""
COLUMNS = "key, endpoint, repeat, request, body, cost_usd, attempts, created"


def salvage(path: Path) -> tuple[int, Path]:
    """Put a whole cache in the place of `path`; returns its number of replies, and where the torn file stands now."""
    if not path.is_file():
        raise UserError(f"{path} is no file; expected a reply cache, such as results/embedded/judge_cache.sqlite")
    torn = next(name for number in range(1000) if not (name := path.with_name(f"{path.name}.torn{number}")).exists())
    with tempfile.TemporaryDirectory(prefix=".salvage-", dir=path.parent) as folder:
        new, count = Path(folder) / path.name, 0
        cache = ReplyCache(new, durable=False)
        for key, endpoint, repeat, request, row in _replies(path, Path(folder)):
            cache.put(key, endpoint, repeat, json.loads(request), row)
            cache.book(row.cost_usd)
            count += 1
        cache.close()
        path.rename(torn)
        for suffix in ("-wal", "-shm"):
            if (beside := path.with_name(path.name + suffix)).exists():
                beside.rename(torn.with_name(torn.name + suffix))
        new.replace(path)
    return count, torn


def _replies(path: Path, folder: Path) -> Iterator[tuple[str, str, int, str, Row]]:
    """What can still be read, row by row, from a copy: SQLite may mend, and so change, what it opens."""
    copy = folder / "torn.sqlite"
    for suffix in ("", "-wal"):
        if (source := path.with_name(path.name + suffix)).exists():
            shutil.copyfile(source, copy.with_name(copy.name + suffix))
    # The rest of a page that was cut would be read as zeros.
    os.truncate(copy, copy.stat().st_size // PAGE * PAGE)
    with contextlib.closing(sqlite3.connect(copy)) as database:
        # Else a file that is shorter than its header says is refused as a whole.
        with contextlib.suppress(sqlite3.DatabaseError):
            database.execute("PRAGMA writable_schema = ON")
        most = copy.stat().st_size // SMALLEST_ROW
        with contextlib.suppress(sqlite3.DatabaseError):
            most = database.execute("SELECT max(rowid) FROM replies").fetchone()[0] or 0
        for number in range(1, most + 1):
            try:
                found = database.execute(f"SELECT {COLUMNS} FROM replies WHERE rowid = ?", (number,)).fetchone()
                if found is not None and _is_whole(*found[:5]):
                    yield *found[:4], Row(*found[4:])
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                continue  # its page is gone


def _is_whole(key: str, endpoint: str, repeat: int, request: str, body: str) -> bool:
    try:
        return cache_key(json.loads(request), endpoint, repeat) == key and isinstance(json.loads(body), dict)
    except (ValueError, TypeError):
        return False


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m prefrepro.judge.salvage", description="Get back what a torn cache holds."
    )
    parser.add_argument("cache", type=Path, help="the torn judge_cache.sqlite")
    count, torn = salvage(parser.parse_args().cache)
    sys.stdout.write(f"{count} replies are back in place; the torn file is kept as {torn}\n")


if __name__ == "__main__":
    exit_on_user_error(main)
