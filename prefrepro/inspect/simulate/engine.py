"""Discrete events: tasks wait for others, in a queue and for devices, and run."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prefrepro.errors import UserError


@dataclass(frozen=True, slots=True)
class Task:
    """What is started as one."""

    id: str
    seconds: float
    gpus: int
    cpus: int
    needs: frozenset[str]
    """Ids of tasks that end before this may be submitted."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What all running tasks share; None: as much as is asked for."""

    gpus: int
    cpus: int | None
    submitted: int | None
    """Tasks that wait in the queue or run, at a time."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds since the beginning."""

    ready: float
    """All that it needs is there."""
    start: float
    end: float


def replay(tasks: Sequence[Task], capacity: Capacity, delay: Callable[[Task], float]) -> dict[str, Span]:
    """When each task starts and ends. `delay`: seconds in the queue even where devices are free.

    Who has waited longest starts first; a smaller task that fits goes before a larger one that does not yet. Raises
    UserError where a task asks for more than there is.
    """
    _refuse_too_large(tasks, capacity)
    feeds: dict[str, list[Task]] = {task.id: [] for task in tasks}
    missing = {task.id: len(task.needs) for task in tasks}
    for task in tasks:
        for needed in task.needs:
            feeds[needed].append(task)
    order = {task.id: index for index, task in enumerate(tasks)}
    free_gpus, free_cpus, in_flight, now = capacity.gpus, capacity.cpus, 0, 0.0
    waiting = [task for task in tasks if not task.needs]  # ready, not submitted
    queue: list[tuple[float, int, Task]] = []  # submitted, by when they may start
    running: list[tuple[float, int, Task]] = []
    ready = {task.id: 0.0 for task in waiting}
    spans: dict[str, Span] = {}
    while waiting or queue or running:
        while waiting and (capacity.submitted is None or in_flight < capacity.submitted):
            task = waiting.pop(0)
            heapq.heappush(queue, (now + delay(task), order[task.id], task))
            in_flight += 1
        for entry in sorted(queue):
            eligible, _, task = entry
            fits = task.gpus <= free_gpus and (free_cpus is None or task.cpus <= free_cpus)
            if eligible <= now and fits:
                queue.remove(entry)
                free_gpus -= task.gpus
                free_cpus = None if free_cpus is None else free_cpus - task.cpus
                spans[task.id] = Span(ready[task.id], now, now + task.seconds)
                heapq.heappush(running, (now + task.seconds, order[task.id], task))
        heapq.heapify(queue)
        coming = [eligible for eligible, *_ in queue if eligible > now]
        now = min([*coming, *(end for end, *_ in running[:1])])
        while running and running[0][0] <= now:
            _, _, task = heapq.heappop(running)
            free_gpus += task.gpus
            free_cpus = None if free_cpus is None else free_cpus + task.cpus
            in_flight -= 1
            for fed in feeds[task.id]:
                missing[fed.id] -= 1
                if not missing[fed.id]:
                    ready[fed.id] = now
                    waiting.append(fed)
    return spans


def _refuse_too_large(tasks: Sequence[Task], capacity: Capacity) -> None:
    for task in tasks:
        if task.gpus > capacity.gpus:
            raise UserError(f"{task.id} asks for {task.gpus} GPUs, and there are {capacity.gpus}. Next: more --gpus")
        if capacity.cpus is not None and task.cpus > capacity.cpus:
            raise UserError(f"{task.id} asks for {task.cpus} cores, and there are {capacity.cpus}. Next: more --cores")


def longest_path(seconds: dict[str, float], needs: dict[str, list[str]]) -> list[str]:
    """The chain of jobs that takes longest, first to last; `seconds` lists inputs before what they feed."""
    best: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for job, own in seconds.items():
        before[job] = max(needs[job], key=lambda needed: best[needed], default=None)
        best[job] = own + (best[before[job] or ""] if before[job] else 0.0)
    chain: list[str] = []
    last = max(best, key=lambda job: best[job], default=None)
    while last is not None:
        chain.append(last)
        last = before[last]
    return chain[::-1]
