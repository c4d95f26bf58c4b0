"""Snakemake's own jobs: which of them find a worker, and what is left when Snakemake ends or is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout
from tiny_world import make_tiny
from worker_helpers import WITHIN_S, gone, kill, needs_pidfd, until

TRAIN = """
import json, os, runpy, sys, time
from pathlib import Path

from prefrepro.files import write_json
from prefrepro.jobs.worker.client import hand_over

if __name__ == "__main__" and sys.argv[2].startswith("embedded-dialogue_"):
    os.environ["PREFREPRO_WORKER"] = "off"
    runpy.run_module("prefrepro.jobs.real", run_name="__main__", alter_sys=True)
elif __name__ == "__main__":
    hand_over()
    out = Path("results/embedded/base") / sys.argv[2] / "run.json"
    write_json(Path("who.json"), {"pid": os.getpid(), "parent": os.getppid()})
    time.sleep(float(os.environ.get("STAY_S", "0")))
    write_json(out, {})
"""
SBATCH = """#!/bin/sh
env > "$(dirname "$0")/submitted"
touch "$(dirname "$0")/whole"
exit 1
"""
ADDRESS = "PREFREPRO_WORKER"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """A tiny world whose base model's job says who does it, and trains nothing; temporary folders stand in `tmp`.

    They are reached by a short link: a socket's path may have 107 bytes, and a test's folder under xdist has more.
    """
    checkout = Checkout(tmp_path)
    make_tiny(checkout)
    (tmp_path / "tmp").mkdir()
    jobs = tmp_path / "prefrepro/jobs"
    (jobs / "main.py").rename(jobs / "real.py")
    (jobs / "main.py").write_text(TRAIN, encoding="utf-8")
    checkout.edit("prefrepro/jobs/worker/libraries.py", "LIBRARIES = (", 'LIBRARIES = ("threadpoolctl",)\nALL = (')
    with tempfile.TemporaryDirectory(prefix="pw-") as short:
        (Path(short) / "t").symlink_to(tmp_path / "tmp")
        monkeypatch.setenv("TMPDIR", f"{short}/t")
        yield checkout


def base(checkout: Checkout) -> str:
    """The file that the base model's job writes last."""
    (node,) = [node for node in checkout.nodes() if node["kind"] == "base"]
    return f"results/embedded/{node['done']}"


def begin(checkout: Checkout, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        checkout.command("-m", "snakemake", base(checkout), "--cores", "2", *arguments),
        cwd=checkout.root,
        env=checkout.environment | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def who(checkout: Checkout) -> dict[str, Any]:
    return json.loads((checkout.root / "who.json").read_text(encoding="utf-8"))


def folders(checkout: Checkout) -> list[Path]:
    return list((checkout.root / "tmp").glob("prefrepro-worker-*"))


@needs_pidfd
def test_nothing_is_left_when_snakemake_ends(tiny: Checkout) -> None:
    snakemake = begin(tiny)
    assert snakemake.wait(WITHIN_S) == 0
    assert who(tiny)["parent"] != snakemake.pid, "no worker was used"
    assert (tiny.root / base(tiny)).is_file()
    assert not any(path.read_text(encoding="utf-8") for path in tiny.results.glob("logs/base/*.log"))
    assert gone(who(tiny)["parent"])
    assert not folders(tiny)


@needs_pidfd
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_snakemake_is_stopped(tiny: Checkout, how: signal.Signals) -> None:
    snakemake = begin(tiny, STAY_S="600")
    try:
        until((tiny.root / "who.json").exists, "no training has begun")
    finally:
        if how == signal.SIGINT:  # as from a terminal: to Snakemake and its jobs
            os.killpg(snakemake.pid, how)
        else:
            snakemake.send_signal(how)
    if how == signal.SIGTERM:  # Snakemake waits for the jobs that run
        kill(who(tiny)["pid"])
    try:
        snakemake.wait(WITHIN_S)
        until(lambda: gone(*who(tiny).values()), "a process outlived Snakemake")
        until(lambda: not folders(tiny), "the socket's folder is left")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(snakemake.pid, signal.SIGKILL)
    assert not (tiny.root / base(tiny)).exists()


def test_a_worker_can_be_declined(tiny: Checkout) -> None:
    snakemake = begin(tiny, PREFREPRO_WORKER="off")
    assert snakemake.wait(WITHIN_S) == 0
    assert who(tiny)["parent"] == snakemake.pid


def test_no_worker_in_a_dry_run(tiny: Checkout) -> None:
    done = tiny.snakemake("-n", base(tiny))
    assert done.returncode == 0
    assert not (tiny.root / "who.json").exists()


def test_no_worker_with_another_executor(tiny: Checkout) -> None:
    """What is submitted to a cluster does not hear of one, and none is there."""
    commands = tiny.root / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH, encoding="utf-8")
    (commands / "sbatch").chmod(0o755)
    for name in ("sinfo", "sacct", "sacctmgr", "squeue", "scontrol"):
        (commands / name).symlink_to("/bin/true")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    cluster = ("--executor", "slurm", "--jobs", "1")
    snakemake = begin(tiny, *cluster, PATH=path)
    try:
        until((commands / "whole").exists, "nothing was submitted")
        assert ADDRESS not in (commands / "submitted").read_text(encoding="utf-8")
        assert not folders(tiny)
    finally:  # its first look at the job's state comes after 40 s
        kill(snakemake.pid)
        snakemake.wait(WITHIN_S)


def test_no_worker_within_a_clusters_job(tiny: Checkout) -> None:
    """There a Snakemake of its own runs the one job, with the local executor."""
    assert begin(tiny).wait(WITHIN_S) == 0
    (tiny.root / base(tiny)).unlink()
    done = begin(tiny, "--mode", "remote", "--executor", "local", "--nolock", "--force")
    assert done.wait(WITHIN_S) == 0
    assert who(tiny)["parent"] == done.pid
