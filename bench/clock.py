"""Wall time, CPU time and memory of a process that trains step by step; and what else the machine did meanwhile."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Clock:
    """Ticks at the end of each step; the first `warmup` are not timed."""

    warmup: int
    losses: list[float] = field(default_factory=list)
    _ticks: list[tuple[float, float, float]] = field(default_factory=list)

    def tick(self, loss: float) -> None:
        """A step has ended with this loss."""
        self.losses.append(loss)
        self._ticks.append((time.perf_counter(), time.process_time(), machine_cpu_s()))

    def result(self, pairs_per_step: float) -> dict[str, float]:
        """Of the timed steps. other_cores: cores that other processes kept busy meanwhile."""
        (wall, cpu, busy), (wall_end, cpu_end, busy_end) = self._ticks[self.warmup - 1], self._ticks[-1]
        pairs = (len(self._ticks) - self.warmup) * pairs_per_step
        wall, cpu, busy = wall_end - wall, cpu_end - cpu, busy_end - busy
        return {
            "pairs_per_s": pairs / wall,
            "cpu_s_per_pair": cpu / pairs,
            "peak_rss_mb": peak_rss_mb(),
            "other_cores": max(busy - cpu, 0.0) / wall,
        }


def machine_cpu_s() -> float:
    """Core-seconds that all processes of this machine have used since it was started."""
    with Path("/proc/stat").open(encoding="utf-8") as file:
        ticks = [int(value) for value in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait


def peak_rss_mb() -> float:
    """Most memory that this process has held. Not ru_maxrss, which starts from that of the process that forked it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else float("nan")
