"""What a guided fuzzer starts from is taken, and what it once found stays mended."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import guided
import pytest
from parsers import KEPT, PARSERS

pytestmark = pytest.mark.fuzz
FOUND = sorted(path for path in KEPT.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", PARSERS)
def test_seeds_are_taken(name: str, tmp_path: Path) -> None:
    assert [PARSERS[name](tmp_path, seed) for seed in PARSERS[name].seeds] == [None] * len(PARSERS[name].seeds)


@pytest.mark.parametrize("file", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(file: Path, tmp_path: Path) -> None:
    PARSERS[file.parent.name](tmp_path, file.read_bytes())


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: make fuzz does it")
def test_a_fault_is_found_and_its_input_kept(tmp_path: Path) -> None:
    """The fuzzer itself: a parser that fails on one letter is caught, and not one that refuses."""
    done = subprocess.run(
        [sys.executable, guided.__file__, "--one", "selftest", "--runs", "20000", "--found", str(tmp_path)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONHASHSEED": "0"},
    )  # fmt: skip
    assert done.returncode != 0, done.stderr
    assert [path for path in tmp_path.iterdir() if path.read_bytes().startswith(b"a!")], done.stderr
