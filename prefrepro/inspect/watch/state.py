"""What the files of a results folder say of each job of a plan: done, running, failed or still to come.

A job is done when its last file is there, runs while its log is locked (jobs/log_lock.py), and has failed where its log
is released, was written during this watch, and the last file is missing.
"""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from prefrepro.jobs.log_lock import is_held
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

DONE, RUNNING, FAILED, WAITING = "done", "running", "failed", "waiting"
GRACE_S = 15.0
"""A log this young may be of a job whose Python has not started yet."""


@dataclass(frozen=True, slots=True)
class Job:
    """One node as its files show it."""

    node: Node
    state: str
    log: Path
    seen: float = 0.0
    """When its log last changed, in seconds since the epoch, where it runs"""
    metrics: dict[str, str] = field(default_factory=dict)
    """The last row of metrics.csv, of a training that runs."""

    @property
    def step(self) -> int:
        return int(self.metrics.get("step") or 0)


def is_done(plan: Plan, node: Node) -> bool:
    """Its last file is there; of a table, whose files bear no digest, it is also younger than what it is made of."""
    if node.kind != "table":
        return (plan.results / node.done).is_file()
    made = _changed(plan.results / node.done)
    inputs = [_changed(plan.results / plan.nodes[node_id].done) for node_id in node.inputs.values()]
    return made is not None and all(changed is not None and changed <= made for changed in inputs)


TICK_S = 0.02
"""A file's time is that of the kernel's last tick, up to 10 ms before the clock that we read."""


def look(plan: Plan, nodes: list[Node], since: float, now: float, grace_s: float = GRACE_S) -> list[Job]:
    """Every node's job. Logs from before `since` (seconds since the epoch) are of earlier attempts."""
    return [_job(plan, node, since - TICK_S, now, grace_s) for node in nodes]


def _job(plan: Plan, node: Node, since: float, now: float, grace_s: float) -> Job:
    log = plan.results / node.log
    if is_done(plan, node):
        return Job(node, DONE, log)
    try:
        held, changed = is_held(log), log.stat().st_mtime
    except FileNotFoundError:
        return Job(node, WAITING, log)
    is_young = changed >= since and now - changed < grace_s
    if held or is_young or (held is None and changed >= since):
        return Job(node, RUNNING, log, changed, _last_row(plan.results / node.folder / "metrics.csv"))
    return Job(node, FAILED if changed >= since else WAITING, log)


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _last_row(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return deque(csv.DictReader(file), maxlen=1).pop()
    except (FileNotFoundError, IndexError):
        return {}
