"""python -m prefrepro.jobs.launch [--processes N] PLAN ID: one training on all visible devices.

On one it is `python -m prefrepro.jobs.main`; on several torchrun starts that once for each. Imports no torch itself.
"""

from __future__ import annotations

import argparse
import os
import runpy
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from prefrepro.jobs.worker.client import ADDRESS, OFF
from prefrepro.train.preempt import ASKED_BY, EXIT_REQUEUE

PASSED_ON = (*ASKED_BY, signal.SIGINT, signal.SIGHUP)
GRACE_S = 600
"""Seconds that ranks have to finish a step and write a checkpoint; 30 with torch 2.11, which has no option for it."""
SHUTDOWN = "--shutdown-timeout"


def visible_devices() -> int:
    """CUDA devices that this process may use, as the environment or the driver says; at least 1."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        try:
            listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False).stdout
        except OSError:  # no driver here
            return 1
        return max(1, len(listed.splitlines()))
    return max(1, len([name for name in given.split(",") if name.strip() not in ("", "-1")]))


def command(processes: int, arguments: list[str]) -> list[str]:
    """What torchrun is called with."""
    signals = ",".join(number.name for number in PASSED_ON)
    options = ["--standalone", f"--nproc-per-node={processes}"]
    torch = find_spec("torch")  # not imported
    if torch and torch.origin and SHUTDOWN in (Path(torch.origin).parent / "distributed" / "run.py").read_text():
        options.append(f"{SHUTDOWN}={GRACE_S}")
    torchrun = [sys.executable, "-m", "torch.distributed.run", *options, f"--signals-to-handle={signals}"]
    return [*torchrun, "-m", "prefrepro.jobs.main", *arguments]


def _run(parts: list[str]) -> int:
    """Its exit status, signals handed on; EXIT_REQUEUE where it was asked to go: torchrun forgets its ranks' own."""
    received: list[int] = []
    started: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for child in started:
            child.send_signal(number)

    for number in PASSED_ON:
        signal.signal(number, hand_on)
    with subprocess.Popen(parts, env=os.environ | {ADDRESS: OFF}) as child:  # ranks are no jobs for the warm worker
        started.append(child)
        for number in list(received):
            child.send_signal(number)
        status = child.wait()
    if status and any(number in ASKED_BY for number in received):
        return EXIT_REQUEUE
    return status if status >= 0 else 128 - status


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m prefrepro.jobs.launch", description="One training on all devices")
    parser.add_argument("--processes", type=int, default=None, metavar="N", help="ranks; default: one a visible device")
    known, arguments = parser.parse_known_args()
    processes = visible_devices() if known.processes is None else known.processes
    if processes < 1:
        parser.error(f"--processes is {processes}; expected at least 1")
    if processes > 1:
        sys.exit(_run(command(processes, arguments)))
    sys.argv[1:] = arguments
    runpy.run_module("prefrepro.jobs.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
