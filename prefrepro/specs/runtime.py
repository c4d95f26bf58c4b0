"""How a node is executed on this machine, which is no part of what the node is: ids and code digests do not hold it.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Metrics = list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Engine:
    """How a training uses its device: `engine` of config/scales/*.yaml."""

    activation_checkpointing: bool = False
    """Keep a layer's input alone for backward and compute the rest again: a third more work, a tenth of the memory."""
    compile: bool = False
    """torch.compile of each layer. Results differ by rounding."""
    snapshots: int = 0
    """Models that a training keeps on its way, evenly spaced before its last step."""
    snapshot_seeds: int = 1
    """Only trainings of seeds up to this one keep them: `frontier: seeds` of the scale."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The last argument of every stage: work(spec, inputs, out, runtime)."""

    engine: Engine = Engine()
    budget_usd: float | None = None
    """The most that judging may cost, all in all; None: what the judge's own file says."""
    tracker: Callable[[Metrics], None] | None = None
    """Called with all rows of metrics.csv so far whenever there is a new one."""
    devices: Sequence[str] | None = None
    """What samples are drawn on, named as in CUDA_VISIBLE_DEVICES; None: every visible one."""


DEFAULT = Runtime()
