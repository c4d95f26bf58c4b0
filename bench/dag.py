"""make bench-dag: where the time of a whole embedded reproduction goes, rule by rule, and how much of it is start-up.

Runs Snakemake in a copy of the tracked files, or reads a results folder that is there already. A job's whole time is
Snakemake's benchmark; its work, CPU time and memory are what the job recorded itself (prefrepro/jobs/timing.py). The
rest is start-up: the shell, Python, imports or the wait for the warm worker's, planning.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stamp import RESULTS, STAMP, stamp, write_rows
from prefrepro.errors import UserError, exit_on_user_error

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("tables", "swepo_mtbench", "swepo_arenahard")
COLUMNS = (
    "rule", "jobs", "job_s", "job_share", "median_job_s", "work_s", "start_s", "start_share", "cpu_s", "cpu_share",
    "peak_rss_mb", "wall_s", *STAMP,
)  # fmt: skip
ALL = "all"
OUTSIDE = "outside jobs"
"""Snakemake itself, the worker's imports, the start of every process: what no job saw as its work."""


@dataclass(frozen=True, slots=True)
class Job:
    """One finished job."""

    rule: str
    job_s: float
    """From its start to its end, as Snakemake saw it"""
    ended: float
    """seconds since 1970"""
    work: dict[str, float]
    """work_s, cpu_s, peak_rss_mb; empty where the job recorded none"""


@dataclass(frozen=True, slots=True)
class Whole:
    """The workflow from its command to its end."""

    wall_s: float
    cpu_s: float | None
    """Of every process; None where it was not measured"""


def read_jobs(results: Path) -> list[Job]:
    """Every job that left a benchmark below results/<scale>. Raises UserError where there is none."""
    jobs = []
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
        rule = path.stem if path.parent.name == "benchmarks" else path.parent.name
        jobs.append(Job(rule, sum(seconds), path.stat().st_mtime, _work(results, path.stem)))
    if not jobs:
        raise UserError(f"{results}/benchmarks holds no *.tsv of a job; expected a folder such as results/embedded")
    return jobs


def _work(results: Path, name: str) -> dict[str, float]:
    """What a job recorded under its node's id; a table's benchmark goes by the table's name, without the digest."""
    folder = results / "benchmarks" / "work"
    found = sorted([*folder.glob(f"{name}.json"), *folder.glob(f"{name}_????????.json")], key=_modified)
    return json.loads(found[-1].read_text(encoding="utf-8")) if found else {}


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def elapsed(jobs: Sequence[Job]) -> Whole:
    """From the first job's start to the last's end, where the workflow itself was not watched."""
    return Whole(max(job.ended for job in jobs) - min(job.ended - job.job_s for job in jobs), None)


def summary(jobs: Sequence[Job], whole: Whole) -> list[dict[str, Any]]:
    """One row per rule, the longest first; then what lies outside jobs' work, and all of it.

    Shares are of all jobs' seconds and of all CPU seconds. start_s and start_share: of jobs that recorded their work.
    """
    rules = {job.rule: [other for other in jobs if other.rule == job.rule] for job in jobs}
    job_s = sum(job.job_s for job in jobs)
    work_cpu_s = sum(job.work.get("cpu_s", 0.0) for job in jobs)
    cpu_s = whole.cpu_s or work_cpu_s

    def row(rule: str, members: Sequence[Job]) -> dict[str, Any]:
        told = [job for job in members if job.work]
        told_s, work_s = sum(job.job_s for job in told), sum(job.work["work_s"] for job in told)
        used = sum(job.work["cpu_s"] for job in told)
        seconds = sum(job.job_s for job in members)
        return {
            "rule": rule,
            "jobs": len(members),
            "job_s": seconds,
            "job_share": seconds / job_s,
            "median_job_s": statistics.median(job.job_s for job in members),
            "work_s": work_s if told else None,
            "start_s": told_s - work_s if told else None,
            "start_share": (told_s - work_s) / told_s if told else None,
            "cpu_s": used if told else None,
            "cpu_share": used / cpu_s if told else None,
            "peak_rss_mb": max((job.work["peak_rss_mb"] for job in told), default=None),
        }

    rows = [row(rule, members) for rule, members in rules.items()]
    rows.sort(key=lambda found: -found["job_s"])
    if whole.cpu_s is not None:
        rest = whole.cpu_s - work_cpu_s
        rows.append({"rule": OUTSIDE, "cpu_s": rest, "cpu_share": rest / whole.cpu_s})
    last = row(ALL, jobs) | {"wall_s": whole.wall_s}
    return [*rows, last | ({"cpu_s": whole.cpu_s, "cpu_share": 1.0} if whole.cpu_s else {})]


def run(targets: Sequence[str], folder: Path, cores: int) -> Whole:
    """Snakemake on a copy of the tracked files in `folder`. Raises UserError where it fails."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--quiet", "host", "reason"]
    before, started = _children_cpu_s(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=False)
    whole = Whole(time.perf_counter() - started, _children_cpu_s() - before)
    if done.returncode:
        raise UserError(f"snakemake {' '.join(targets)} ended with code {done.returncode}; see its logs in {folder}")
    return whole


def _children_cpu_s() -> float:
    """Of all processes that ended below this one and were waited for: Snakemake waits for its worker and jobs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.dag", description="Time and CPU of the workflow by rule.")
    parser.add_argument("targets", nargs="*", default=TARGETS, help="of Snakemake; default: every embedded table")
    parser.add_argument("--results", type=Path, help="read this finished results/<scale> and run nothing")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="run here and keep it (an empty folder); default: a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS / "dag.csv")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefrepro-bench-") as temporary:
        if arguments.results:
            jobs = read_jobs(arguments.results)
            whole = elapsed(jobs)
        else:
            folder = arguments.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder} is not empty: what is there already would not be timed")
            whole = run(arguments.targets, folder, arguments.cores)
            jobs = read_jobs(folder / "results" / "embedded")
    stamped = stamp("snakemake", "torch", "transformers")
    rows = summary(jobs, whole)
    write_rows(arguments.out, COLUMNS, [row | stamped for row in rows])
    print(f"{rows[-1]['jobs']} jobs, {whole.wall_s / 60:.1f} minutes of wall time; {arguments.out} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
