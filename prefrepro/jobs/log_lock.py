"""A job locks its log file while it lives, so that `prefrepro watch` sees whether it runs, also after kill -9.

The lock goes with the last process that has the file open as its output. A file system without locks holds nothing up.
"""

from __future__ import annotations

import fcntl
import sys
import time
from pathlib import Path

TRIES = 5
PAUSE_S = 0.02


def hold_output() -> None:
    """Lock the file that standard output goes to, while it stays open; a watcher's glance may be in the way."""
    for _ in range(TRIES):
        try:
            fcntl.flock(sys.stdout.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE_S)
        except (OSError, ValueError):  # no locks on this file system, or no real file
            return
        else:
            return


def is_held(path: Path) -> bool | None:
    """Does somebody hold this file; None where the file system cannot say."""
    with path.open("rb") as file:
        try:
            # Shared, for which reading suffices: over NFS an exclusive lock wants a file that is open for writing.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False
