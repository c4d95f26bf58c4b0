"""Starts the worker beside a workflow's main process, whose jobs find it by an environment variable.

The caller must know that its jobs run on this machine.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from prefrepro.jobs.worker.client import ADDRESS, OFF

BACKLOG = 128


def start() -> None:
    """Start a worker that dies with this process; it imports nothing before the first job asks.

    Nothing is started where the variable says "off", or without pidfd_open (Linux 5.3): elsewhere jobs import for
    themselves. The socket stands in a folder that only this user may enter.
    """
    if os.environ.get(ADDRESS) == OFF or not _can_watch():
        return
    folder = tempfile.mkdtemp(prefix="prefrepro-worker-")
    with socket.socket(socket.AF_UNIX) as listener:
        # Bound here and not by the worker, so that no job can come too early.
        try:
            listener.bind(f"{folder}/socket")
        except OSError as error:  # a path of over 107 bytes
            Path(folder).rmdir()
            sys.stderr.write(f"no warm worker, every job imports its libraries itself: {folder}/socket: {error}\n")
            return
        listener.listen(BACKLOG)
        os.environ[ADDRESS] = f"{folder}/socket"
        command = [sys.executable, "-m", "prefrepro.jobs.worker", str(listener.fileno()), str(os.getpid())]
        # A session of its own: an interrupt from the terminal is for the jobs, which hand it on.
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},  # as its jobs: those with devices do their work themselves
        )
    atexit.register(_stop, worker, Path(folder))


def _can_watch() -> bool:
    with contextlib.suppress(AttributeError, OSError):
        os.close(os.pidfd_open(os.getpid()))
        return True
    return False


def _stop(worker: subprocess.Popen[bytes], folder: Path) -> None:
    worker.terminate()
    worker.wait()
    shutil.rmtree(folder, ignore_errors=True)
