"""A glance on the terminal: a picture that is redrawn, or without a terminal a line for each change."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prefrepro.inspect.watch.follow import Glance
from prefrepro.inspect.watch.state import DONE, FAILED, RUNNING, Job

SHOWN = 12
"""Running jobs in the picture; a cluster may run more than a screen holds."""
METRICS = {"loss": "loss", "rewards/accuracies": "accuracy"}
"""Column of metrics.csv -> what it is called here"""


def clock(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary(glance: Glance) -> str:
    """In one line: how many of how many, failed ones, time."""
    done, failed = len(glance.of(DONE)), len(glance.of(FAILED))
    parts = [f"{done} of {len(glance.jobs)} jobs"]
    parts += [f"{failed} failed"] if failed else []
    if not glance.is_over:
        parts += [f"{'more than' if glance.is_at_least else 'about'} {clock(glance.left_s)} left"]
    return ", ".join(parts)


def picture(glance: Glance, title: str) -> RenderableType:
    """What a terminal shows while the jobs run."""
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(len(glance.jobs), 1), completed=len(glance.of(DONE)), width=30)
    head.add_row(Text(title, style="bold"), bar, summary(glance), Text(clock(glance.elapsed_s), style="dim"))
    every, done = (Counter(job.node.kind for job in jobs) for jobs in (glance.jobs, glance.of(DONE)))
    kinds = "  ".join(f"{kind} {done[kind]}/{count}" for kind, count in every.items())
    jobs = Table.grid(padding=(0, 1))
    running = glance.of(RUNNING)
    for job in running[:SHOWN]:
        jobs.add_row(Text(job.node.kind, style="cyan"), job.node.id, _progress(job, glance), _clock_of(job, glance))
    if len(running) > SHOWN:
        jobs.add_row("", f"… and {len(running) - SHOWN} more")
    failed = [Text(f"failed: {_failure(job)}", style="red") for job in glance.of(FAILED)[:SHOWN]]
    return Group(head, Text(kinds, style="dim", overflow="ellipsis", no_wrap=True), jobs, *failed)


def lines(glance: Glance) -> list[str]:
    """Where there is no terminal: one line for each job that started, ended or failed since the last glance."""
    stamp = time.strftime("%H:%M:%S")
    found = []
    for job in glance.news:
        if job.state == FAILED:
            found.append(f"{stamp} failed  {_failure(job)}")
        elif job.state in (RUNNING, DONE):
            found.append(f"{stamp} {job.state:7} {job.node.kind} {job.node.id}")
    if any(job.state in (DONE, FAILED) for job in glance.news):
        found[-1] += f"; {summary(glance)}"
    return found


def _progress(job: Job, glance: Glance) -> str:
    """« step 40/125  loss 0.691» of a training that has logged; nothing of other jobs."""
    if not job.metrics:
        return ""
    total = glance.steps.get(job.node.id)
    parts = [f"step {job.step}{f'/{total}' if total else ''}"]
    parts += [f"{name} {float(job.metrics[column]):.3f}" for column, name in METRICS.items() if job.metrics.get(column)]
    return "  ".join(parts)


def _clock_of(job: Job, glance: Glance) -> Text:
    return Text(clock(glance.running_s.get(job.node.id, 0.0)), style="dim")


def _failure(job: Job) -> str:
    """Id, the last line that its log holds, and where the rest is."""
    said = [line for line in job.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{job.node.kind} {job.node.id}: {said[-1].strip() if said else 'said nothing'} ({job.log})"
