"""The worker: waits for jobs, forks for each, hands signals on and reports how the fork ended.

One thread, because a process with more cannot be forked safely. What it refuses, the job does itself.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass

from prefrepro.jobs.worker.client import ADDRESS
from prefrepro.jobs.worker.job import Job
from prefrepro.jobs.worker.libraries import Libraries
from prefrepro.jobs.worker.wire import Request, receive_request, reply

REQUEST_WITHIN_S = 10.0
MODULES = ("prefrepro.jobs.main",)
"""What may be asked for."""
PER_JOB = {
    "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "TMPDIR", "TMP", "TEMP", "TEMPDIR", "PWD", "OLDPWD", "SHLVL", "PS1", "_", ADDRESS,
}  # fmt: skip
"""Environment variables that a job may have of its own: job.py applies them, or no library reads them when loaded."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A job that runs."""

    pid: int
    pidfd: int
    connection: socket.socket


class Worker:
    """Serves the jobs of one parent, and ends, with every fork of its own, when the parent has ended."""

    def __init__(self, listener: socket.socket, parent: int) -> None:
        self.listener, self.parent = listener, parent
        self.environment = dict(os.environ)
        self.libraries: Libraries | None = None
        self.forks: dict[int, Fork] = {}
        self.selector = selectors.DefaultSelector()

    def serve(self) -> Job | None:
        """None when the parent has ended; in a fork, the job that it is to do."""
        watch = os.pidfd_open(self.parent)
        if os.getppid() != self.parent:
            return None
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(watch, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select()[:1]:  # one at a time: it may close what the next is about
                if key.fd == watch:
                    for fork in set(self.forks.values()):
                        signal.pidfd_send_signal(fork.pidfd, signal.SIGKILL)
                        self._report(fork.pidfd)
                    return None
                job = key.data(key.fd)
                if job is not None:
                    os.close(watch)
                    return job

    def _accept(self, _fd: int) -> Job | None:
        connection, _ = self.listener.accept()
        connection.settimeout(REQUEST_WITHIN_S)
        try:
            request, streams = receive_request(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        why = self._refusal(request)
        if why is None and _has_gone(connection):
            why = "the job has ended"
        if why is not None:
            return _refuse(connection, streams, why)
        worker = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or no more processes
            return _refuse(connection, streams, f"it cannot fork ({error})")
        if pid == 0:
            self._forget()
            return Job(request, streams, worker, connection)
        _close(streams)
        fork = Fork(pid, os.pidfd_open(pid), connection)
        self.forks[connection.fileno()] = self.forks[fork.pidfd] = fork
        self.selector.register(connection, selectors.EVENT_READ, self._hear)
        self.selector.register(fork.pidfd, selectors.EVENT_READ, self._report)
        reply(connection, started=True)
        return None

    def _refusal(self, request: Request) -> str | None:
        """Why this process's fork would not be what the job's own process is, or None."""
        if request.parent != self.parent:
            return f"it works for process {self.parent}, and process {request.parent} started this job"
        if request.module not in MODULES:
            return f"it does not run {request.module}"
        if (request.executable, request.path) != (sys.executable, sys.path):
            return "this job runs another Python, or imports from other folders"
        if not request.environment.get("OMP_NUM_THREADS", "").isdigit():
            return "OMP_NUM_THREADS does not say how many threads this job has"
        names = (self.environment.keys() | request.environment.keys()) - PER_JOB
        other = [name for name in sorted(names) if self.environment.get(name) != request.environment.get(name)]
        if other:
            return f"this job has another {', '.join(other)} in its environment"
        if self.libraries is None:
            self.libraries = Libraries()
        return self.libraries.problem()

    def _hear(self, fd: int) -> None:
        """A signal for a fork, or its client's end, which it does not survive."""
        fork = self.forks[fd]
        try:
            numbers = fork.connection.recv(16)
        except OSError:
            numbers = b""
        if not numbers:
            self.selector.unregister(fork.connection)
        for number in numbers or [signal.SIGKILL]:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fork.pidfd, number)

    def _report(self, pidfd: int) -> None:
        """A fork's end."""
        fork = self.forks.pop(pidfd)
        del self.forks[fork.connection.fileno()]
        _, status = os.waitpid(fork.pid, 0)
        with contextlib.suppress(KeyError):
            self.selector.unregister(fork.connection)
        self.selector.unregister(pidfd)
        reply(fork.connection, status=status)
        fork.connection.close()
        os.close(pidfd)

    def _forget(self) -> None:
        """In a fork: let go of what belongs to the worker and to other jobs."""
        self.selector.close()
        self.listener.close()
        for fork in set(self.forks.values()):
            fork.connection.close()
            os.close(fork.pidfd)


def _refuse(connection: socket.socket, streams: list[int], why: str) -> None:
    reply(connection, refused=why)
    connection.close()
    _close(streams)


def _has_gone(connection: socket.socket) -> bool:
    """Has the job ended while libraries were imported?"""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(REQUEST_WITHIN_S)


def _close(streams: list[int]) -> None:
    for stream in streams:
        os.close(stream)
