"""What every test of bad input asks: one clear message, another exit code than 0, nothing lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkout import Checkout, Done

Refused = Callable[..., str]


def refused(done: Done, *said: str) -> str:
    """The message of a command that refused its input, which holds every string of `said`."""
    text = done.stdout + done.stderr
    assert done.returncode != 0, f"accepted: {text}"
    assert "Traceback" not in text, text
    assert done.stderr.count("error: ") == 1, text
    for part in said:
        assert part in done.stderr, f"{part!r} is not said in: {done.stderr}"
    return done.stderr


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(name="refused")
def refused_fixture() -> Refused:
    return refused


@pytest.fixture
def earlier(checkout: Checkout) -> Iterator[Path]:
    """Results of an earlier day, which no refusal may touch."""
    folder = checkout.results / "runs" / "dpo_earlier_00000000"
    (folder / "model").mkdir(parents=True)
    (folder / "run.json").write_text("{}\n", encoding="utf-8")
    (folder / "model" / "weights").write_bytes(b"weeks of work")
    (checkout.results / "tables").mkdir()
    (checkout.results / "tables" / "rpo_table1.md").write_text("the table of yesterday\n", encoding="utf-8")
    before = contents(checkout.results)
    yield checkout.results
    after = contents(checkout.results)
    assert {path: after.get(path) for path in before} == before
