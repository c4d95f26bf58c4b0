"""What one job asks a machine or a cluster for, by kind of node and model: `resources` of config/scales/*.yaml.

A cluster starts short jobs sooner: where the forecast knows a job's hours, it may ask for less than the section says.
No part of a node's identity: more memory makes no other run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

DEFAULT, MODELS = "default", "models"
GROWTH = 1.5
"""Memory and runtime of each further attempt, in those of the one before."""
SLACK = 2.0
"""Runtime asked for, in hours of the forecast."""
LEAST_MIN = 30
"""Runtime below which no cluster starts a job sooner."""
UNKNOWN_HOURS = ("data", "package", "table")
"""Kinds whose forecast is none: a download, a copy, and what takes seconds."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks for, on one machine."""

    gpus: int = 0
    cpus: int = 1
    mem_mb: int = 2000
    device_gib: float = 0
    """Memory of one GPU, which a training must fit; 0: not known."""
    runtime_min: int = 60
    """The most that the first attempt asks for. A training that needs longer goes on in the next."""

    def of_attempt(self, attempt: int) -> Resources:
        """What the n-th attempt asks for, from 1: the one before may have been killed for too little."""
        factor = GROWTH ** (attempt - 1)
        return replace(self, mem_mb=round(self.mem_mb * factor), runtime_min=round(self.runtime_min * factor))


class ScaleResources:
    """What the jobs of a plan's scale ask for: `default`, then the node's kind, then that kind of the node's model."""

    def __init__(self, plan: Plan, hours_of: Callable[[Node], float | None] = lambda node: None) -> None:
        """`hours_of`: the forecast of a job, which shortens its runtime."""
        self.hours_of = hours_of
        section = plan.scale["resources"]
        self.by_kind = {key: asked for key, asked in section.items() if key != MODELS}
        self.by_model = section.get(MODELS, {})

    def of(self, node: Node | None, attempt: int = 1) -> Resources:
        """What a node's job asks for; None: a job that is no node of the plan."""
        values = dict(self.by_kind.get(DEFAULT, {}))
        if node is not None:
            values |= self.by_kind.get(node.kind, {})
            values |= self.by_model.get(node.model or "", {}).get(node.kind, {})
            if node.spec.get("judge", {}).get("scorer") == "classifier":  # scores where the scale ranks preferences
                values["gpus"] = min(1, self.by_kind.get("preference", {}).get("gpus", 0))
        asked = Resources(**values)
        if node is not None and node.spec.get("training", {}).get("lora_rank"):
            asked = replace(asked, gpus=min(asked.gpus, 1))  # adapters are trained by one process
        if node is not None and asked.runtime_min > LEAST_MIN and (hours := self._hours(node)) is not None:
            runtime = max(LEAST_MIN, math.ceil(SLACK * hours * 60))
            asked = replace(asked, runtime_min=min(runtime, asked.runtime_min))
        return asked.of_attempt(attempt)

    def _hours(self, node: Node) -> float | None:
        return None if node.kind in UNKNOWN_HOURS else self.hours_of(node)
