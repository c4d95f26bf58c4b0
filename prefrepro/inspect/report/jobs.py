"""When each job ran and what it cost, from the benchmarks that the workflow left."""

from __future__ import annotations

from typing import Any

from prefrepro.inspect.report.folder import Folder
from prefrepro.inspect.results import benchmark_seconds


def jobs(folder: Folder) -> dict[str, Any]:
    """Every benchmarked job: rule, id, seconds, start and end in seconds since the first start, GPU-hours, USD.

    A job ends when its benchmark is written. `is_dated` is False where all were written within less than the longest
    job: a copy without its dates.
    """
    found = []
    root = folder.path / "benchmarks"
    for path in sorted(root.rglob("*.tsv")):
        seconds = sum(benchmark_seconds(path))
        manifest = folder.manifests.get(path.stem, {})
        found.append(
            {
                "rule": path.parent.name if path.parent != root else path.stem,
                "id": path.stem,
                "s": seconds,
                "end": path.stat().st_mtime,
                "gpu_h": float(manifest.get("row", {}).get("gpu_h") or 0),
                "cost_usd": float(manifest.get("cost_usd") or 0),
            }
        )
    if not found:
        return {"is_dated": False, "jobs": []}
    first = min(job["end"] - job["s"] for job in found)
    ends = [job["end"] for job in found]
    for job in found:
        job["end"] = round(job["end"] - first, 2)
        job["start"] = round(job["end"] - job["s"], 2)
    return {
        "is_dated": max(ends) - min(ends) > max(job["s"] for job in found),
        "jobs": sorted(found, key=lambda job: (job["start"], job["id"])),
    }
