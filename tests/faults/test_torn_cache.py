"""A reply cache that was cut, or cannot be written: refused by name; what it still holds is had back, and is true."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prefrepro.errors import UserError
from prefrepro.judge.cache import ReplyCache, Row, cache_key
from prefrepro.judge.salvage import salvage

Tell = Callable[..., None]
N = 300
SEED = 4
CUTS = 25


def request_of(number: int) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": f"Which of {number}? " * 20}]}


def reply_of(number: int) -> Row:
    return Row(f'{{"choices": [], "model": "m", "number": {number}}}', 0.01, 1, "2026-01-01T00:00:00.000+00:00")


def keys() -> list[str]:
    return [cache_key(request_of(number), "somewhere", 0) for number in range(N)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "judge_cache.sqlite"
    cache = ReplyCache(path, durable=False)
    for number, key in enumerate(keys()):
        cache.put(key, "somewhere", 0, request_of(number), reply_of(number))
    cache.close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def cuts(size: int) -> list[int]:
    """Lengths of torn copies: within the header, within a page, at the end of one, and anywhere."""
    draw = random.Random(SEED)
    return [1, 50, 4096, size // 4096 // 2 * 4096, size - 1, *(draw.randrange(1, size) for _ in range(CUTS - 5))]


def test_a_cache_cut_anywhere_is_refused_and_gives_back_what_it_holds(whole: Path, tmp_path: Path, tell: Tell) -> None:
    content, wrong, had_back = whole.read_bytes(), 0, 0
    lengths = cuts(len(content))
    for number, length in enumerate(lengths):
        path = tmp_path / str(number) / whole.name
        path.parent.mkdir()
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"judge_cache\.sqlite: the judge's reply cache cannot be opened"):
            ReplyCache(path)
        count, torn = salvage(path)
        assert torn.read_bytes() == content[:length], "the torn file was changed"
        cache = ReplyCache(path)
        found = {place: row for place, key in enumerate(keys()) if (row := cache.get(key)) is not None}
        assert cache.spent_usd() == pytest.approx(0.01 * count)
        cache.close()
        wrong += sum(row != reply_of(place) for place, row in found.items()) + (len(found) != count)
        had_back += count
    assert had_back > N, "whole pages of replies were lost"
    tell("SQLite reply cache, copy cut at random", len(lengths), refused=len(lengths) - wrong, wrong=wrong)


@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 500])
def test_a_file_without_replies_gives_none_back(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "judge_cache.sqlite"
    path.write_bytes(content)
    assert salvage(path)[0] == 0


def test_the_command_says_what_it_did(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(whole, tmp_path))
    path.write_bytes(path.read_bytes()[:-5000])
    command = [sys.executable, "-m", "prefrepro.judge.salvage"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert "replies are back in place" in done.stdout and "judge_cache.sqlite.torn0" in done.stdout
    done = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert (done.returncode, "is no file" in done.stderr) == (2, True)


def test_a_cache_in_place_of_which_a_folder_stands(tmp_path: Path, tell: Tell) -> None:
    (tmp_path / "judge_cache.sqlite").mkdir()
    with pytest.raises(UserError, match=r"judge_cache\.sqlite: the judge's reply cache cannot be opened"):
        ReplyCache(tmp_path / "judge_cache.sqlite")
    tell("reply cache that cannot be written: a folder in its place", 1, refused=1)
