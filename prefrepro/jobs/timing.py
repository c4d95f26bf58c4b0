"""How long a job of the DAG worked, as the job itself saw it: what its process did before is not its work.

Snakemake's benchmark has the whole job, but not what a warm worker's fork did for it.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from prefrepro.files import write_json


@contextlib.contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Write wall and CPU seconds of the block, child processes' too, and the process's peak memory, if it succeeds."""
    wall, cpu = time.perf_counter(), _cpu_s()
    yield
    times = {"work_s": time.perf_counter() - wall, "cpu_s": _cpu_s() - cpu, "peak_rss_mb": _peak_rss_mb()}
    write_json(path, {name: round(value, 3) for name, value in times.items()})


def _cpu_s() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_rss_mb() -> float:
    """The kernel counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
