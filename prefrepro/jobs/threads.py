"""How many threads numerical libraries use, and how those wait: by environment before they are loaded, and after.

Imports none of them.
"""

from __future__ import annotations

import os
import sys


def let_waiting_threads_sleep() -> None:
    """Spinning threads take the cores from the other jobs of a small machine; read when torch is loaded.

    A pre-training beside another job: 17 to 35 s spinning, 4 to 5 s sleeping.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(n: int) -> None:
    """What OMP_NUM_THREADS and its like say to a library that is not loaded yet, said to those that are."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(n)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n)
