"""One small real results folder for all tests of records; who changes it takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkout import Checkout
from trace_world import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Two rows of table 1 on two seeds. Read only."""
    checkout = Checkout(tmp_path_factory.mktemp("world"))
    make_world(checkout)
    return checkout


@pytest.fixture
def results(world: Checkout, tmp_path: Path) -> Path:
    """A copy of the world's results, to be broken."""
    copied = tmp_path / "results" / "embedded"
    shutil.copytree(world.results, copied)
    return copied
