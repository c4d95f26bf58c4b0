"""One SLURM for the session, and one local run of the tiny Table 1 that all others are held against."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout
from cluster import Cluster, can_be_installed
from slurm_helpers import make_checkout


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not can_be_installed():
        pytest.skip("needs slurm-wlm and munge, or root on a Debian to install them")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    started = Cluster(folder)
    started.start()
    daemons = [daemon.pid for daemon in started.daemons.values()]
    try:
        yield started
    finally:
        started.stop()
        left = [pid for pid in daemons if Path(f"/proc/{pid}").exists()]
        shutil.rmtree(folder, ignore_errors=True)
        assert not left, f"daemons outlived the tests: {left}"


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Table 1 as this machine makes it."""
    checkout = make_checkout(tmp_path_factory.mktemp("local") / "checkout")
    done = checkout.snakemake("table1", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout


@pytest.fixture
def finished(local: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the local run, results included."""
    shutil.copytree(local.root, tmp_path / "checkout", symlinks=True)
    return Checkout(tmp_path / "checkout", copy=False)
