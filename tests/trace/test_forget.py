"""`prefrepro judge forget`: a judge's replies and verdict sets are moved aside, those of others stay."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from prefrepro.errors import UserError
from prefrepro.files import write_json, write_text
from prefrepro.inspect.forget import forget_judge
from prefrepro.judge.cache import ReplyCache, Row, cache_key

BROKEN, OTHER = ("http://127.0.0.1:1/v1", "broken"), ("http://127.0.0.1:1/v1", "other")


def ask(cache: ReplyCache, endpoint: str, model: str, text: str) -> str:
    request = {"model": model, "messages": [{"role": "user", "content": text}]}
    key = cache_key(request, endpoint, 0)
    cache.put(key, endpoint, 0, request, Row(f"{{{text}}}", 0.5, 1, "2026-12-01T00:00:00Z"))
    return key


def judged(results: Path, name: str, endpoint: str, model: str) -> Path:
    folder = results / "verdicts" / f"dpo_{name}"
    spec = {"judge": {"name": name, "model": model}}
    write_json(folder / "manifest.json", {"spec": spec, "judge_identity": endpoint})
    write_text(folder / "verdicts.csv", "")
    write_json(results / "records" / "verdicts" / f"{folder.name}.json", {})
    return folder


def test_one_judge_is_forgotten_and_nothing_is_lost(tmp_path: Path) -> None:
    own, other = judged(tmp_path, "broken", *BROKEN), judged(tmp_path, "other", *OTHER)
    cache = ReplyCache(tmp_path / "judge_cache.sqlite")
    gone, kept = [ask(cache, *BROKEN, text) for text in "ab"], ask(cache, *OTHER, "a")
    cache.book(1.5)
    cache.close()
    found = forget_judge(tmp_path, "broken")
    assert (found.sets, found.replies) == ([own.name], 2)
    assert not own.exists() and other.is_dir()
    assert [path.name for path in (tmp_path / "records" / "verdicts").iterdir()] == ["dpo_other.json"]
    assert (found.place / "verdicts" / own.name / "manifest.json").is_file()
    assert (found.place / "records" / "verdicts" / f"{own.name}.json").is_file()
    with (found.place / "replies.csv").open(encoding="utf-8", newline="") as file:
        assert {row["key"] for row in csv.DictReader(file)} == set(gone)
    cache = ReplyCache(tmp_path / "judge_cache.sqlite")
    assert [cache.get(key) for key in gone] == [None, None] and cache.get(kept) is not None
    assert cache.spent_usd() == 1.5, "what was paid stays paid"
    cache.close()
    again = forget_judge(tmp_path, "broken")
    assert (again.sets, again.replies) == ([], 0) and not again.place.exists()


def test_what_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no results folder"):
        forget_judge(tmp_path / "none", "broken")
    judged(tmp_path, "broken", *BROKEN)
    (tmp_path / "judge_cache.sqlite").write_bytes(b"x" * 4096)
    with pytest.raises(UserError, match="replies cannot be read"):
        forget_judge(tmp_path, "broken")
    assert (tmp_path / "verdicts" / "dpo_broken").is_dir(), "nothing was moved"
