"""What every test of bad input asks: one clear message, another exit code than 0, nothing lost.

And what every test of faults tells: how often it injected one, and what came of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkout import Checkout, Done

Refused = Callable[..., str]
Tell = Callable[..., None]
FIGURES = "PREFREPRO_FAULT_FIGURES"
"""Environment variable: a file of JSON lines, which docs/reliability.md is made of."""


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


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Ask that every fault was recovered from or refused, and nothing lost, wrong or unbooked; a line of the table.

    `recovered`: the result is that of a run without the fault. `refused`: nothing was read or written half, and a
    message names the file and what to do. Lines of one fault are added up.
    """
    since = time.perf_counter()

    def add(fault: str, injected: int, *, recovered: int = 0, refused: int = 0, **bad: int) -> None:
        nonlocal since
        seconds = round(time.perf_counter() - since, 1)
        told = {"fault": fault, "injected": injected, "recovered": recovered, "refused": refused}
        figures = told | {"lost": 0, "wrong": 0, "unbooked": 0} | bad | {"seconds": seconds}
        since = time.perf_counter()
        if FIGURES in os.environ:
            with Path(os.environ[FIGURES]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(figures | {"test": request.node.nodeid}) + "\n")
        assert not any(bad.values()) and recovered + refused == injected, figures

    return add
