"""A plan as tasks: seconds of each job as measured or forecast, and jobs that a profile groups as one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from prefrepro.inspect.forecast.jobs import HOUR, Forecaster
from prefrepro.inspect.simulate.engine import Task
from prefrepro.plan.kinds import KINDS
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs.profile import Profile

TABLE_S = 3.0
"""A table on one core, where none was measured."""
API_CALLS_PER_S = 5.0
"""Assumed for an API judge, whose rate limit is unknown."""


@dataclass(frozen=True, slots=True)
class Job:
    """One node of the plan."""

    node: Node
    seconds: float
    basis: str
    """measured, config (the scale's forecast), assumed or unknown"""
    gpus: int
    cpus: int

    @property
    def rule(self) -> str:
        return KINDS[self.node.kind].rule


def jobs_of(plan: Plan, targets: list[str], forecaster: Forecaster) -> list[Job]:
    """Every job of these tables, inputs first. Raises UserError for faulty resources and unreadable results."""
    resources = ScaleResources(plan)
    found = []
    for node in plan.needed_by(targets):
        asked = resources.of(node)
        seconds, basis = _seconds(node, forecaster)
        found.append(Job(node, seconds, basis, asked.gpus, asked.cpus))
    return found


def _seconds(node: Node, forecaster: Forecaster) -> tuple[float, str]:
    own = forecaster.measured.seconds_of(node.kind, node.job)
    if own is not None:
        return own, "measured"
    if node.kind == "table":
        return TABLE_S, "assumed"
    forecast = forecaster.job(node)
    if "hours" not in forecast.amounts:
        calls = forecast.amounts.get("calls")
        return (calls or 0.0) / API_CALLS_PER_S, "assumed"
    hours = forecast.amounts["hours"]
    if hours is None:
        return 0.0, "unknown"
    return hours * HOUR, forecast.basis


def tasks_of(jobs: Iterable[Job], profile: Profile) -> tuple[list[Task], dict[str, str]]:
    """What the profile submits, and job id -> id of the task that does it.

    Jobs of a group take turns, so that their seconds add up, and start when all that any of them needs is there.
    Snakemake chooses in each run which jobs share a submission; here they are neighbours in the plan.
    """
    of_task: dict[str, list[Job]] = {}
    counts: dict[str, int] = {}
    for job in jobs:
        group = profile.groups.get(job.rule)
        if group is None:
            of_task[job.node.id] = [job]
        else:
            number = counts.get(group, 0)
            counts[group] = number + 1
            of_task.setdefault(f"{group} {number // profile.components.get(group, 1) + 1}", []).append(job)
    task_of = {job.node.id: name for name, members in of_task.items() for job in members}
    tasks = []
    for name, members in of_task.items():
        needs = {task_of[needed] for job in members for needed in job.node.inputs.values()} - {name}
        seconds = sum(job.seconds for job in members)
        cpus = 1 if profile.is_local else max(job.cpus for job in members)  # Snakemake's threads, which no rule sets
        tasks.append(Task(name, seconds, max(job.gpus for job in members), cpus, frozenset(needs)))
    return tasks, task_of


def cores() -> int:
    """Cores of this machine."""
    return os.cpu_count() or 1
