"""prefrepro simulate: replay tables on so many GPUs or cores: makespan, idle share."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from prefrepro.cli.parser import plan_and_targets, write_json
from prefrepro.errors import UserError
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.inspect.simulate.engine import Capacity, Task, replay
from prefrepro.inspect.simulate.report import Replay, as_json, as_text
from prefrepro.inspect.simulate.tasks import cores, jobs_of, tasks_of
from prefrepro.plan.plan import Plan
from prefrepro.specs.profile import read_profile

ASSUMED_QUEUE_MIN = 1.0
"""Minutes on an idle cluster: submission, start, and until Snakemake has seen the end."""


def run(arguments: argparse.Namespace) -> None:
    """Print the replay. Raises UserError for unknown targets or profiles, and for too few GPUs or cores."""
    plan, targets = plan_and_targets(arguments)
    done = _replay(plan, targets, arguments)
    if arguments.json:
        write_json(as_json(done))
    else:
        sys.stdout.write(as_text(done))


def _replay(plan: Plan, targets: list[str], arguments: argparse.Namespace) -> Replay:
    profile = read_profile(arguments.profile)
    jobs = jobs_of(plan, targets, Forecaster(plan))
    tasks, task_of = tasks_of(jobs, profile)
    capacity = Capacity(
        arguments.gpus, (arguments.cores or cores()) if profile.is_local else arguments.cores, profile.submitted
    )
    local = {task_of[job.node.id] for job in jobs if job.node.kind == "table"}
    delay, said = _delays(arguments, profile.is_local)
    spans = replay(tasks, capacity, lambda task: 0.0 if task.id in local else delay(task))
    by_id = {job.node.id: job for job in jobs}
    return Replay(plan, targets, by_id, tasks, task_of, spans, profile, capacity, said)


def _delays(arguments: argparse.Namespace, is_local: bool) -> tuple[Callable[[Task], float], str]:
    """Seconds in the queue of a task, and what that rests on."""
    if arguments.queue_delays:
        found = read_delays(arguments.queue_delays)
        draw = random.Random(arguments.seed)
        said = f"drawn from the {len(found)} delays of {arguments.queue_delays}, seed {arguments.seed}"
        return lambda task: draw.choice(found), said
    minutes = arguments.queue_min
    if minutes is None:
        minutes = 0.0 if is_local else ASSUMED_QUEUE_MIN
    if is_local and not minutes:
        return lambda task: 0.0, "none on one machine"
    basis = "as asked for" if arguments.queue_min is not None else "ASSUMED; --queue-delays takes your cluster's"
    return lambda task: 60 * minutes, f"{minutes:g} min for each submission, {basis}"


def read_delays(path: Path) -> list[float]:
    """Seconds from submission to start of each line «2026-11-01T10:00:00|2026-11-01T10:03:20»; others are left out.

    Raises UserError where no line is one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    delays = []
    for line in text.splitlines():
        submitted, _, started = line.strip().partition("|")
        try:
            seconds = (datetime.fromisoformat(started) - datetime.fromisoformat(submitted)).total_seconds()
        except ValueError:
            continue  # a header, a job that has not started
        delays.append(max(seconds, 0.0))
    if not delays:
        raise UserError(
            f"{path} holds no line SUBMIT|START; make it with: sacct -X -n -P -S now-30days -o Submit,Start"
        )
    return delays
