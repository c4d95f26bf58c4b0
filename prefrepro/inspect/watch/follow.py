"""From glance to glance: which jobs changed, how far all of them are, and how long the rest will take.

Each job takes as long as the forecast says, which knows what earlier jobs of its kind and model took; the simulator
plays the schedule.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefrepro.inspect.forecast.jobs import HOUR, Forecaster
from prefrepro.inspect.forecast.work import training_work
from prefrepro.inspect.simulate.engine import Capacity, Task, replay
from prefrepro.inspect.watch.state import DONE, FAILED, GRACE_S, RUNNING, Job, look
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

UNKNOWN_S = 1.0
"""Seconds counted for a job whose hours are unknown: a table, or an API's verdicts (then «more than» is shown)."""


@dataclass(frozen=True, slots=True)
class Glance:
    """All jobs at one time."""

    jobs: list[Job]
    news: list[Job]
    """Those whose state is another than at the last glance; at the first, none that are done."""
    elapsed_s: float
    left_s: float
    is_at_least: bool
    """The hours of some jobs are unknown."""
    running_s: dict[str, float] = field(default_factory=dict)
    """Node id -> seconds since it was first seen running"""
    steps: dict[str, int | None] = field(default_factory=dict)
    """Node id -> steps of the whole training, of those that run"""

    def of(self, *states: str) -> list[Job]:
        return [job for job in self.jobs if job.state in states]

    @property
    def is_over(self) -> bool:
        return len(self.of(DONE)) == len(self.jobs)

    def as_json(self) -> dict[str, Any]:
        """For a program: counts, seconds, and every job with its state."""
        jobs = [
            {"id": job.node.id, "kind": job.node.kind, "state": job.state, "log": str(job.log), "metrics": job.metrics}
            for job in self.jobs
        ]
        states = {state: len(self.of(state)) for state in sorted({job.state for job in self.jobs})}
        return {"states": states, "left_s": round(self.left_s, 1), "is_at_least": self.is_at_least, "jobs": jobs}


class Follower:
    """Glances at the jobs of some nodes of a plan."""

    def __init__(self, plan: Plan, nodes: list[Node], now: float, slots: int | None = None) -> None:
        self.plan, self.nodes, self.since = plan, nodes, now
        self._slots = slots or len(os.sched_getaffinity(0))
        self._forecaster, self._known = Forecaster(plan), -1
        self._states: dict[str, str] = {}
        self._started: dict[str, float] = {}

    def glance(self, now: float, grace_s: float = GRACE_S) -> Glance:
        """The jobs now, `now` in seconds since the epoch. Raises UserError where what a job left is unreadable."""
        jobs = look(self.plan, self.nodes, self.since, now, grace_s)
        done = sum(job.state == DONE for job in jobs)
        if done != self._known:  # what has just been measured counts
            self._forecaster, self._known = Forecaster(self.plan), done
        running = [job for job in jobs if job.state == RUNNING]
        for job in running:
            self._started.setdefault(job.node.id, min(now, job.seen))
        self._slots = max(self._slots, len(running))
        news = [job for job in jobs if self._states.get(job.node.id, DONE if job.state == DONE else "") != job.state]
        self._states = {job.node.id: job.state for job in jobs}
        running_s = {job.node.id: now - self._started[job.node.id] for job in running}
        left_s, is_at_least = self._left([job for job in jobs if job.state not in (DONE, FAILED)], running_s)
        steps = {job.node.id: self._steps(job.node) for job in running}
        return Glance(jobs, news, now - self.since, left_s, is_at_least, running_s, steps)

    def _steps(self, node: Node) -> int | None:
        """Steps of a training; None for other jobs, and where the size of the data is unknown."""
        if node.kind not in TRAININGS:
            return None
        return training_work(node, self._forecaster.size(node.inputs["data"])).steps

    def _left(self, jobs: list[Job], running_s: dict[str, float]) -> tuple[float, bool]:
        """Seconds until the last of these ends, and whether some of it is not known."""
        hours = {job.node.id: self._forecaster.job(job.node).amounts.get("hours") for job in jobs}
        left = {
            one: max((UNKNOWN_S if known is None else known * HOUR) - running_s.get(one, 0.0), 0.0)
            for one, known in hours.items()
        }
        inputs = {job.node.id: list(job.node.inputs.values()) for job in jobs}
        is_unknown = any(hours[job.node.id] is None for job in jobs if job.node.kind != "table")
        return seconds_left(left, inputs, set(running_s), self._slots), is_unknown


def seconds_left(
    left: Mapping[str, float], inputs: Mapping[str, Sequence[str]], running: set[str], slots: int
) -> float:
    """Seconds until the last job ends where `slots` run at a time, those that run first, then in the order of `left`.

    `left`: id -> seconds that it still takes; `inputs`: id -> what it waits for, ids that are not in `left` are done.
    """
    order = sorted(left, key=lambda one: one not in running)
    tasks = [Task(one, left[one], 0, 1, frozenset(inputs[one]) & left.keys()) for one in order]
    spans = replay(tasks, Capacity(0, max(slots, 1), None), lambda _: 0.0)
    return max((span.end for span in spans.values()), default=0.0)
