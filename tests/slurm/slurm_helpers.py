"""Table 1 of a tiny world on a SLURM of the tests' own: started, watched, disturbed, and compared with a local run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from checkout import Checkout
from cluster import Cluster
from tiny_world import make_tiny

WITHIN_S = 900.0
"""The longest that anything is waited for, on a machine that does much else."""
RESOURCES = {"default": {"mem_mb": 1000, "runtime_min": 10}, "run": {"gpus": 1, "runtime_min": 10}}
SLURM = (
    "table1",
    "--workflow-profile",
    "profiles/slurm",
    "--slurm-init-seconds-before-status-checks=5",
    "--seconds-between-status-checks=5",
    "--latency-wait=20",
)
STAGE = '''
"""The real stage: who it is and where it runs is written down, and it waits or fails where a test says so."""
import atexit, json, os, sys, time
from pathlib import Path

from prefrepro.jobs.main import main
from prefrepro.train.checkpoint import CheckpointStore

NAME = sys.argv[1].partition("_")[0]


def record(what):
    line = {"what": what, "at": time.monotonic(), "pid": os.getpid(), "id": sys.argv[1]}
    line |= {key: os.environ.get(key) for key in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURMD_NODENAME")}
    with open("devices.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")


def save(self, step, state):
    real(self, step, state)
    while Path("hold", NAME).exists():
        time.sleep(0.05)


if __name__ == "__main__":
    record("begins")
    atexit.register(record, "ends")
    if Path("fail", NAME).exists():
        Path("fail", NAME).unlink()
        sys.exit("this attempt fails, as the test wants it")
    real, CheckpointStore.save = CheckpointStore.save, save
    main("base", "sft", "run", "reward_model", "reference", "embeddings", "reference_rewards")
'''


def make_checkout(root: Path) -> Checkout:
    """A tiny world whose trainings save every step."""
    root.mkdir(parents=True)
    checkout = Checkout(root)
    make_tiny(checkout)
    checkout.edit_yaml("config/scales/embedded.yaml", {"training": {"checkpoint_every": 1}})
    return checkout


def instrument(checkout: Checkout) -> None:
    """Trainings want a GPU each, and a test sees and holds them. No digest knows of resources or a stage's __main__."""
    checkout.edit_yaml("config/scales/embedded.yaml", {"resources": RESOURCES})
    (checkout.root / "prefrepro/train/__main__.py").write_text(STAGE, encoding="utf-8")


def told(checkout: Checkout, what: str, *names: str) -> None:
    """Let trainings of these methods `hold` after each step that they save, or `fail` once."""
    for name in names:
        path = checkout.root / what / name
        path.parent.mkdir(exist_ok=True)
        path.touch()


def digests(checkout: Checkout) -> dict[str, str]:
    """SHA-256 of everything that must not depend on where it was made, nor on what was killed meanwhile."""
    results = checkout.results
    files = [*results.glob("samples/*/samples.jsonl"), *results.glob("runs/*/model/*.safetensors")]
    files += [*results.glob("tables/*"), results / "cells.csv"]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def forget(checkout: Checkout, methods: tuple[str, ...]) -> None:
    """Remove what was made of these methods, and the table."""
    for kind in ("runs", "samples", "verdicts"):
        for method in methods:
            for folder in (checkout.results / kind).glob(f"{method}_*"):
                shutil.rmtree(folder)
    for name in ("cells.csv", "runs.csv", "verdicts.csv", "judge_cache.sqlite"):
        (checkout.results / name).unlink(missing_ok=True)
    shutil.rmtree(checkout.results / "tables", ignore_errors=True)


def records(checkout: Checkout) -> list[dict[str, Any]]:
    path = checkout.root / "devices.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


class Workflow:
    """A snakemake on the cluster, in a session of its own; what it says stands in `log`."""

    def __init__(self, checkout: Checkout, cluster: Cluster, *more: str) -> None:
        self.log = checkout.root / f"snakemake-{time.monotonic_ns()}.log"
        ours = {k: v for k, v in cluster.environment.items() if not k.startswith(("PYTHON", "SNAKEMAKE_", "COVERAGE_"))}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", *checkout.command("-m", "snakemake", *SLURM, *more)],
                cwd=checkout.root,
                env=ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def interrupt(self) -> None:
        """Ctrl-C in its terminal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> int:
        return self.process.wait(WITHIN_S)


@contextlib.contextmanager
def workflow(checkout: Checkout, cluster: Cluster, *more: str) -> Iterator[Workflow]:
    """A workflow that does not outlive the test."""
    started = Workflow(checkout, cluster, *more)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()


def until(condition: Callable[[], Any], what: str, running: Workflow | None = None) -> None:
    """Wait for a condition, but not for a workflow that has ended."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}\n{running.said[-4000:] if running else ''}"
        assert running is None or running.process.poll() is None, f"{what}: snakemake ended\n{running.said[-6000:]}"
        time.sleep(0.1)


def has_saved(checkout: Checkout, method: str) -> bool:
    return bool(list(checkout.results.glob(f"checkpoints/{method}_*/step-*.pt")))


def job_of(cluster: Cluster, method: str) -> tuple[str, str] | None:
    """Job id and node of the running training of a method."""
    for line in cluster.ask("squeue", "-h", "-t", "R", "-o", "%i %N %k"):
        job, node, comment = line.split(maxsplit=2)
        if f"align_wildcards_{method}_" in comment:
            return job, node
    return None
