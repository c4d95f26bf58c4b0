"""A worker's fork: becomes what `python -m module arguments` would have been, and ends like it."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import runpy
import signal
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import NoReturn

from prefrepro.jobs.threads import use_threads
from prefrepro.jobs.worker.client import ADDRESS
from prefrepro.jobs.worker.wire import STREAMS, Request

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
UNFLUSHED = 120
"""Python's exit code where the last output could not be written."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a fork has to do. Runs in the fork only."""

    request: Request
    streams: list[int]
    worker: int
    """process id of who forked it"""
    connection: socket.socket
    """Kept open to the end, so that the client sees it closed only when worker and fork are both gone."""

    def run(self) -> NoReturn:
        """Do the job and leave; never returns, never unwinds into the worker's code."""
        code = 1
        try:
            code = self._exit_code()
        finally:
            _leave(code)

    def _settle(self) -> None:
        """Streams, folder, environment and threads of the client; dies with the worker."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.worker:
            os._exit(1)
        for stream, target in zip(self.streams, STREAMS, strict=True):
            os.dup2(stream, target)
            os.close(stream)
        os.chdir(self.request.cwd)
        os.environ.clear()
        os.environ.update({key: value for key, value in self.request.environment.items() if key != ADDRESS})
        tempfile.tempdir = None
        importlib.invalidate_caches()
        use_threads(int(self.request.environment["OMP_NUM_THREADS"]))
        _draw_anew()

    def _exit_code(self) -> int:
        """Run the module as an interpreter runs a program: its exit code, -SIGINT for one that was interrupted."""
        try:
            self._settle()
            sys.argv = ["", *self.request.arguments]
            runpy.run_module(self.request.module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                return (end.code or 0) & 0xFF
            sys.stderr.write(f"{end.code}\n")
            return 1
        except BaseException as error:  # noqa: BLE001
            sys.excepthook(type(error), error, error.__traceback__)
            return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        return 0


def _draw_anew() -> None:
    """What is not seeded differs from job to job, as it does between processes; Python's `random` knows of forks."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def _leave(code: int) -> NoReturn:
    """What an interpreter does at its end, but for taking 5,000 modules apart (0.3 CPU-s)."""
    try:
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or UNFLUSHED
    finally:
        if code == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code)
