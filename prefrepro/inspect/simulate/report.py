"""A replay as text and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from prefrepro.inspect.forecast.jobs import HOUR
from prefrepro.inspect.forecast.lines import TOGETHER
from prefrepro.inspect.simulate.engine import Capacity, Span, Task, longest_path
from prefrepro.inspect.simulate.tasks import API_CALLS_PER_S, TABLE_S, Job
from prefrepro.plan.kinds import VERDICTS
from prefrepro.plan.plan import Plan
from prefrepro.specs.profile import Profile
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parents[1] / "templates" / "simulate.txt"


@dataclass(frozen=True, slots=True)
class Replay:
    """What was replayed, and when everything started and ended."""

    plan: Plan
    targets: list[str]
    jobs: dict[str, Job]
    tasks: list[Task]
    task_of: dict[str, str]
    spans: dict[str, Span]
    profile: Profile
    capacity: Capacity
    queue: str
    """What delays in the queue rest on."""

    @property
    def makespan(self) -> float:
        return max((span.end for span in self.spans.values()), default=0.0)

    @property
    def submissions(self) -> int:
        """Tasks that leave this machine."""
        stays = {self.task_of[name] for name, job in self.jobs.items() if job.node.kind == "table"}
        return 0 if self.profile.is_local else len(self.tasks) - len(stays)

    @property
    def gpu_seconds(self) -> float:
        return sum(task.gpus * task.seconds for task in self.tasks)

    @property
    def idle_share(self) -> float | None:
        """Share of the GPUs' time from beginning to end that no job uses; None without GPUs."""
        offered = self.capacity.gpus * self.makespan
        return 1 - self.gpu_seconds / offered if offered else None


def lines(replay: Replay) -> list[dict[str, Any]]:
    """One per table and one for all together: jobs, GPU-hours, its longest chain, and when it is there."""
    return [_line(replay, target, [target]) for target in replay.targets] + [_line(replay, TOGETHER, replay.targets)]


def _line(replay: Replay, name: str, targets: list[str]) -> dict[str, Any]:
    jobs = [replay.jobs[node.id] for node in replay.plan.needed_by(targets)]
    chain = longest_path(
        {job.node.id: job.seconds for job in jobs}, {job.node.id: list(job.node.inputs.values()) for job in jobs}
    )
    return {
        "table": name,
        "jobs": len(jobs),
        "gpu_h": sum(job.gpus * job.seconds for job in jobs) / HOUR,
        "critical_path_h": sum(replay.jobs[job].seconds for job in chain) / HOUR,
        "done_at_h": max(replay.spans[replay.task_of[job.node.id]].end for job in jobs) / HOUR,
        "critical_path": chain,
    }


def as_json(replay: Replay) -> dict[str, Any]:
    """Everything, times in hours since the beginning."""
    return {
        "config": replay.plan.config.arguments(),
        "profile": replay.profile.name,
        "gpus": replay.capacity.gpus,
        "cores": replay.capacity.cpus,
        "makespan_h": replay.makespan / HOUR,
        "gpu_h": replay.gpu_seconds / HOUR,
        "idle_share": replay.idle_share,
        "jobs": len(replay.jobs),
        "submissions": replay.submissions,
        "tables": lines(replay),
        "spans": {name: [span.ready / HOUR, span.start / HOUR, span.end / HOUR] for name, span in replay.spans.items()},
        "notes": notes(replay),
    }


def as_text(replay: Replay) -> str:
    """A table of tables, the longest chains, and what it rests on."""
    unit, per_hour = ("h", 1) if replay.makespan >= HOUR else ("min", 60)
    content = as_json(replay)
    rows = [
        [
            line["table"],
            line["jobs"],
            f"{line['gpu_h']:,.2f}",
            *(f"{line[name] * per_hour:,.2f}" for name in ("critical_path_h", "done_at_h")),
            " > ".join(_short(replay.jobs[job]) for job in line["critical_path"]),
        ]
        for line in content["tables"]
    ]
    head = ["table", "jobs", "GPU-h", f"longest chain, {unit}", f"done after, {unit}", "longest chain"]
    table = tabulate(rows, head, disable_numparse=True, colalign=("left", *["right"] * 4, "left"))
    words = {"table": table, "unit": unit, "per_hour": per_hour, "is_local": replay.profile.is_local}
    return fill_template(TEMPLATE, content | words)


def _short(job: Job) -> str:
    """What a job is: the name of a training or of what trainings share, and the kind of what follows one."""
    return job.node.kind if job.node.kind in ("sample", *VERDICTS, "table") else job.node.id.rpartition("_")[0]


def notes(replay: Replay) -> list[str]:
    """What seconds and delays rest on."""
    bases = Counter(job.basis for job in replay.jobs.values())
    said = {
        "measured": f"as they were measured in {replay.plan.results}",
        "config": f"forecast, config/scales/{replay.plan.config.scale}.yaml",
        "unknown": f"NOT KNOWN and left out; say them in config/scales/{replay.plan.config.scale}.yaml, forecast",
        "assumed": f"assumed: {TABLE_S:g} s a table, {API_CALLS_PER_S:g} calls a second of an API judge",
    }
    found = [f"Seconds of {count} jobs: {said[basis]}." for basis, count in sorted(bases.items())]
    found.append(f"Queue: {replay.queue}.")
    found.append("No job fails or is preempted; a GPU is as good as any other, on whichever node.")
    return found
