"""Kills the processes of a running workflow at random moments, and counts what the judge's server was paid for."""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

import psutil
import yaml
from checkout import Checkout
from tiny_world import make_tiny

from prefrepro.judge.cache import canonical
from prefrepro.judge.endpoint import Endpoint

TABLE = "paper_tables/rpo/table1.yaml"
ROWS = ("dpo", "rpo-paired")
"""Of table 1: with every kind of node, and two of what a table has many of."""
KEY = "PREFREPRO_FAULT_KEY"
JOB = "prefrepro.jobs.main"
POLL_S = 0.03
SOONEST_S = 0.5
"""What every kind of job is given at least to be hit in: a loaded machine may be slower than it was."""
JOBS_BETWEEN_ENDS = 8
"""Snakemake, or the worker, is killed beside one of its next jobs."""


def make_world(root: Path, judge: Endpoint) -> Checkout:
    """A tiny world whose judge is a server that outlives every kill, as a paid one does."""
    root.mkdir()
    checkout = Checkout(root)
    make_tiny(checkout)
    table = yaml.safe_load((root / TABLE).read_text(encoding="utf-8"))
    checkout.write_yaml(TABLE, table | {"rows": {name: table["rows"][name] for name in ROWS}})
    values = {"name": "embedded-world", "kind": "api", "model": "embedded-world-judge", "base_url": judge.base_url}
    values |= {"api_key_env": KEY, "price_usd_per_mtok": {"input": 1.0, "output": 1.0}, "concurrency": 4}
    checkout.write_yaml("config/judges/embedded-world.yaml", values)
    return checkout


def digests(results: Path) -> dict[str, str]:
    """SHA-256 of what must not depend on kills, cores or the order of jobs."""
    files = [*results.glob("samples/*/samples.jsonl"), *results.glob("runs/*/model/*.safetensors")]
    files += [*results.glob("tables/*"), results / "cells.csv"]
    files += [*results.glob("reference/*/*.safetensors"), *results.glob("data/*/*.jsonl")]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def paid(judge: Endpoint) -> Counter[str]:
    """Of each request, by its hash, the replies that the server gave."""
    request = urllib.request.Request(f"{judge.base_url}/paid", headers={"Authorization": f"Bearer {judge.api_key}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return Counter(json.load(response))


def stored(cache: Path) -> set[str]:
    """Hashes of the requests whose replies are in the cache."""
    if not cache.exists():
        return set()
    with contextlib.closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True, timeout=60)) as database:
        try:
            rows = database.execute("SELECT request FROM replies").fetchall()
        except sqlite3.OperationalError:  # it was killed before its table was made
            return set()
    return {hashlib.sha256(canonical(json.loads(text)).encode()).hexdigest() for (text,) in rows}


class Workflow:
    """`snakemake table1` in a checkout, started anew after each end that was not its own."""

    def __init__(self, checkout: Checkout, judge: Endpoint, *options: str) -> None:
        self.checkout, self.judge = checkout, judge
        self.command = checkout.command("-m", "snakemake", "table1", "--retries", "99", *options)
        self.environment = checkout.environment | {KEY: judge.api_key}
        self.log = checkout.root / "snakemake.log"
        self.longest: dict[str, float] = collections.defaultdict(float)
        """Seconds that a job of each kind took at most"""

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command, cwd=self.checkout.root, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip

    def unlock(self) -> None:
        subprocess.run(
            [*self.command, "--unlock"], cwd=self.checkout.root, env=self.environment, capture_output=True, check=True
        )

    def undisturbed(self) -> None:
        """One run without a kill, which measures how long jobs take."""
        process, seen = self.start(), {}
        while process.poll() is None:
            for job in jobs_of(process.pid):
                since = seen.setdefault(job.pid, time.monotonic())
                self.longest[job.kind] = max(self.longest[job.kind], time.monotonic() - since)
            time.sleep(POLL_S)
        assert process.returncode == 0, self.log.read_text(encoding="utf-8")


class Job:
    """A node that is made: the process that Snakemake started, which ends with its fork in the worker."""

    def __init__(self, pid: int, kind: str, node: str) -> None:
        self.pid, self.kind, self.node = pid, kind, node


@functools.cache
def kinds_in(plan: Path) -> dict[str, str]:
    """Node -> kind, of a plan.json."""
    return {name: node["kind"] for name, node in json.loads(plan.read_text(encoding="utf-8"))["nodes"].items()}


def jobs_of(workflow: int) -> list[Job]:
    """The jobs among the children of Snakemake: `python -m prefrepro.jobs.main PLAN NODE`."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(workflow).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = child.cmdline()
                if JOB in words:
                    plan, node = words[words.index(JOB) + 1 :][:2]
                    found.append(Job(child.pid, kinds_in(Path(child.cwd()) / plan)[node], node))
    return found


def worker_of(workflow: int) -> int | None:
    """The process that runs the jobs' work, if there is one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(workflow).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "prefrepro.jobs.worker" in child.cmdline():
                    return child.pid
    return None


class Torment:
    """Runs a workflow to its end, with up to `per_job` kills of each job and `ends` of Snakemake and of the worker."""

    def __init__(self, workflow: Workflow, draw: random.Random, per_job: int, ends: int) -> None:
        self.workflow, self.draw, self.per_job = workflow, draw, per_job
        self.left = Counter(snakemake=ends, worker=ends)
        self.kills: Counter[str] = Counter()
        self.of_node: Counter[str] = Counter()
        self.cache = workflow.checkout.results / "judge_cache.sqlite"
        self.settled: dict[str, int] = {}
        """Requests whose reply was seen in the cache, and how often they had been answered then."""

    def run(self) -> None:
        """Until Snakemake ends by itself, and well."""
        while True:
            process = self.workflow.start()
            if not self._disturb(process):
                break
            process.wait()
            self._end_orphans()
            self.workflow.unlock()
        assert process.returncode == 0, self.workflow.log.read_text(encoding="utf-8")[-4000:]
        self._settle()

    def paid_twice(self) -> int:
        """Requests asked again although their reply had been seen in the cache."""
        now = paid(self.workflow.judge)
        return sum(now[digest] > count for digest, count in self.settled.items())

    def _disturb(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether Snakemake was killed, and did not end by itself."""
        due: dict[int, tuple[float, Job]] = {}
        seen: set[int] = set()
        ends = {name: self.draw.randint(1, JOBS_BETWEEN_ENDS) for name, left in self.left.items() if left}
        while process.poll() is None:
            jobs = {job.pid: job for job in jobs_of(process.pid)}
            for pid, job in jobs.items():
                if pid not in seen:
                    seen.add(pid)
                    if self.of_node[job.node] < self.per_job:
                        longest = max(self.workflow.longest[job.kind], SOONEST_S)
                        due[pid] = (time.monotonic() + self.draw.uniform(0, longest), job)
            for pid in [pid for pid, (when, _) in due.items() if pid not in jobs or when < time.monotonic()]:
                _, job = due.pop(pid)
                if pid in jobs and self._kill(pid, job.kind):
                    self.of_node[job.node] += 1
            if len(seen) >= ends.get("worker", 10**9) and (worker := worker_of(process.pid)):
                del ends["worker"]
                self.left["worker"] -= self._kill(worker, "worker")
            if len(seen) >= ends.get("snakemake", 10**9):
                time.sleep(self.draw.uniform(0, 1))
                if process.poll() is None:
                    self.left["snakemake"] -= self._kill(process.pid, "snakemake")
                    return True
            time.sleep(POLL_S)
        return False

    def _kill(self, pid: int, kind: str) -> int:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return 0
        self.kills[kind] += 1
        self._settle()
        return 1

    def _settle(self) -> None:
        kept = stored(self.cache)
        assert not self.settled.keys() - kept, "a stored reply is gone"
        counts = paid(self.workflow.judge)  # after the cache was read: a reply is answered before it is stored
        self.settled |= {digest: counts[digest] for digest in kept - self.settled.keys()}

    def _end_orphans(self) -> None:
        """Half of the time what a killed Snakemake left behind goes on beside the next one, as it may."""
        if self.draw.random() < 0.5:
            return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process.cwd()) == self.workflow.checkout.root:
                    process.kill()
