"""What a job and the worker say to each other over a Unix socket.

The job sends one request with its stdin, stdout and stderr, later single bytes: signals to hand on. The worker
answers in lines of JSON: {"refused": why}, or {"started": true} and in the end {"status": what waitpid said}.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LENGTH = struct.Struct("!I")
STREAMS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Request:
    """`python -m module arguments`, and all that its process inherited."""

    module: str
    arguments: list[str]
    cwd: str
    environment: dict[str, str]
    path: list[str]
    """sys.path"""
    executable: str
    parent: int
    """process id of who started it"""


def send_request(connection: socket.socket, module: str) -> None:
    """Ask for `python -m module` in place of this process, and send its streams."""
    request = Request(module, sys.argv[1:], str(Path.cwd()), dict(os.environ), sys.path, sys.executable, os.getppid())
    body = json.dumps(asdict(request)).encode()
    socket.send_fds(connection, [LENGTH.pack(len(body))], STREAMS)
    connection.sendall(body)


def receive_request(connection: socket.socket) -> tuple[Request, list[int]]:
    """A request and the descriptors of its streams, which are the caller's to close. Raises OSError, ValueError."""
    head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, len(STREAMS))
    try:
        if len(head) < LENGTH.size or len(streams) != len(STREAMS):
            raise ValueError(f"a request of {len(head)} bytes with {len(streams)} streams")
        with connection.makefile("rb") as file:
            return Request(**json.loads(file.read(LENGTH.unpack(head)[0]))), list(streams)
    except (OSError, ValueError, TypeError) as error:
        for stream in streams:
            os.close(stream)
        raise ValueError(f"no request could be read: {error}") from error


def reply(connection: socket.socket, **message: Any) -> None:
    """Send one line; a job that is gone needs none. Raises nothing."""
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return
