"""How long the jobs that are left will take: each by the forecast, all together by playing the schedule through.

The forecast knows what earlier jobs of the same kind and model took (prefrepro/inspect/forecast/measured.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from prefrepro.inspect.forecast.jobs import HOUR, Forecaster
from prefrepro.inspect.forecast.work import training_work
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

UNKNOWN_S = 1.0
"""Of a job that no forecast has hours of: a table, or an API's verdicts, which then make the whole «at least»."""


class Expected:
    """Seconds and steps of each job, as measured so far."""

    def __init__(self, plan: Plan) -> None:
        self._forecaster = Forecaster(plan)

    def seconds(self, node: Node) -> float | None:
        """Of the whole job; None where nobody knows."""
        hours = self._forecaster.job(node).amounts.get("hours")
        return None if hours is None else hours * HOUR

    def steps(self, node: Node) -> int | None:
        """Of a training; None for other jobs, and where the size of the data is not known."""
        if node.kind not in TRAININGS:
            return None
        return training_work(node, self._forecaster.size(node.inputs["data"])).steps


def seconds_left(
    left: Mapping[str, float], inputs: Mapping[str, Sequence[str]], running: set[str], slots: int
) -> float:
    """Seconds until the last job ends where `slots` run at a time, those that run first, then in the order of `left`.

    `left`: id -> seconds that it still takes; `inputs`: id -> what it waits for, ids that are not in `left` are done.
    """
    missing = {one: {node for node in inputs[one] if node in left} for one in left}
    ready = sorted((one for one in left if not missing[one]), key=lambda one: one not in running)
    now, ends = 0.0, list[tuple[float, str]]()
    while ready or ends:
        while ready and len(ends) < max(slots, 1):
            one = ready.pop(0)
            heapq.heappush(ends, (now + left[one], one))
        now, ended = heapq.heappop(ends)
        for one, waits_for in missing.items():
            if ended in waits_for:
                waits_for.remove(ended)
                if not waits_for:
                    ready.append(one)
    return now
