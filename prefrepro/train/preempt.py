"""A training that is asked to go (SIGTERM, SIGUSR1) writes a checkpoint after this step and ends to be run again.

Schedulers ask so before a time limit, a pre-emption or a shutdown. Whoever started the training sees an exit code that
says «again», and the next attempt goes on from there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

ASKED_BY = (signal.SIGTERM, signal.SIGUSR1)
EXIT_REQUEUE = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, try again."""

_received: list[signal.Signals] = []


def _receive(number: int, _frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))


@contextlib.contextmanager
def noticed() -> Iterator[None]:
    """While this lasts, the signals are noticed and end nothing; in a thread that cannot have handlers, as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _receive) for number in ASKED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


def preempted() -> bool:
    """Was this process asked to go?"""
    return bool(_received)


def leave(step: int, steps: int) -> NoReturn:
    """End this process to be run again; the state after `step` must be saved. Another rank may have been asked."""
    why = _received[0].name if _received else "another rank was asked to go"
    sys.stderr.write(f"{why}: saved after step {step} of {steps}; the next attempt goes on from there\n")
    sys.exit(EXIT_REQUEUE)
