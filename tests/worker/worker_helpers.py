"""A process that stands for Snakemake: it starts a worker and runs jobs, as the local executor does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from checkout import Checkout

WITHIN_S = 60.0
"""The longest that anything here is waited for, on a machine that does much else."""
WORKFLOW = """
import json, os, subprocess, sys
from prefrepro.jobs.worker.start import start
start()
print(json.dumps(os.environ.get("PREFREPRO_WORKER")), flush=True)
for line in sys.stdin:
    command, environment, log = json.loads(line)
    with open(log, "w") as stream:
        job = subprocess.Popen([sys.executable, *command], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                               env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment})
    print(job.pid, flush=True)
    print(job.wait(), flush=True)
"""
PROBE = '''
"""A job that does what its argument says."""
import json, os, signal, sys, time
from pathlib import Path

from prefrepro.jobs.worker.client import hand_over

def me():
    print(json.dumps({"pid": os.getpid(), "parent": os.getppid()}), flush=True)

if __name__ == "__main__":
    hand_over()
    exec(sys.argv[1])
'''
needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the worker needs Linux's pidfd_open")


def add_probe(checkout: Checkout) -> None:
    """The copy's worker also runs a module that does what its argument says."""
    (checkout.root / "prefrepro/jobs/probe.py").write_text(PROBE, encoding="utf-8")
    checkout.edit("prefrepro/jobs/worker/server.py", "MODULES = (", 'MODULES = ("prefrepro.jobs.probe", ')


def with_probe(checkout: Checkout) -> Checkout:
    """The copy has the probe, and its worker imports next to nothing."""
    add_probe(checkout)
    few = 'LIBRARIES = ("threadpoolctl",)\nALL = ('
    checkout.edit("prefrepro/jobs/worker/libraries.py", "LIBRARIES = (", few)
    return checkout


class Workflow:
    """One job at a time; `environment` is the jobs' alone."""

    def __init__(self, checkout: Checkout, **environment: str) -> None:
        self.log = checkout.root / "job.log"
        self.process = subprocess.Popen(
            checkout.command("-c", WORKFLOW),
            cwd=checkout.root,
            env=checkout.environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address: str | None = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def begin(self, *command: str, **environment: str) -> int:
        """Start `python command`; its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, environment, str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> tuple[int, str]:
        """The job's exit code, negative for a signal, and its log."""
        return int(self._line()), self.log.read_text(encoding="utf-8")

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        self.begin(*command, **environment)
        return self.end()

    def probe(self, statement: str, **environment: str) -> tuple[int, str]:
        return self.run("-m", "prefrepro.jobs.probe", statement, **environment)

    def begin_probe(self, statement: str = "") -> tuple[int, dict[str, int]]:
        """Start one that does `statement`, says who it is and stays: the job's process, and what it says."""
        client = self.begin("-m", "prefrepro.jobs.probe", f"{statement}; me(); time.sleep(600)".lstrip("; "))
        until(lambda: self.log.read_text(encoding="utf-8").endswith("}\n"), "the job did not begin")
        until(lambda: _catches(client, signal.SIGTERM), "the job hands no signals on")
        return client, json.loads(self.log.read_text(encoding="utf-8").splitlines()[-1])


def _catches(pid: int, number: signal.Signals) -> bool:
    """Has a process a handler for a signal?"""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@contextlib.contextmanager
def workflow(checkout: Checkout, **environment: str) -> Iterator[Workflow]:
    """A workflow that has ended, and its worker with it, when the block ends."""
    opened = Workflow(checkout, **environment)
    try:
        yield opened
    finally:
        assert opened.process.stdin is not None and opened.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            opened.process.stdin.close()
        opened.process.wait(WITHIN_S)
        opened.process.stdout.close()


def until(is_so: Callable[[], Any], otherwise: str) -> None:
    """Wait for a condition, within bounds."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def gone(*pids: int) -> bool:
    """Has every process ended? A zombie has."""
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def folder_of(address: str | None) -> Path:
    """The worker's folder."""
    assert address is not None
    return Path(address).parent
