"""A job's side: hand the work over to the warm worker and end as it ended.

Imports nothing heavy, for being quick is all it is for.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator

from prefrepro.jobs.worker.wire import send_request

ADDRESS = "PREFREPRO_WORKER"
"""Environment variable: where the worker listens; « off» for none."""
OFF = "off"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def hand_over() -> None:
    """Let the worker run this process's `python -m …` and exit as that did.

    Returns where no worker is meant to be used, or, having said why on stderr, where it did not do the work.
    """
    address = os.environ.get(ADDRESS, OFF)
    if address == OFF:
        return
    module = sys.modules["__main__"].__spec__
    if module is None:
        return
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            send_request(connection, module.name.removesuffix(".__main__"))
            why = _wait(connection)
    except OSError as error:
        why = f"cannot be used ({error})"
    sys.stderr.write(f"the warm worker {why}; this job imports its libraries itself\n")


def _wait(connection: socket.socket) -> str:
    """Exit as the worker's fork did, or return why there is no such end."""
    with contextlib.ExitStack() as stack, connection.makefile("rb") as lines:
        for line in lines:
            message = json.loads(line)
            if "refused" in message:
                return f"refused: {message['refused']}"
            if "started" in message:
                stack.enter_context(_signals_handed_on(connection))
            else:
                _end(message["status"])
    return "ended before this job did"


@contextlib.contextmanager
def _signals_handed_on(connection: socket.socket) -> Iterator[None]:
    """The fork gets our signals, and we end when it has; those that are ignored remain so."""

    def hand_on(number: int, _frame: object) -> None:
        try:
            connection.sendall(bytes([number]))
        except OSError:
            _die_of(number)

    before = {number: signal.getsignal(number) for number in FORWARDED}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_of(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end(status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _die_of(-code)
    sys.exit(code)
