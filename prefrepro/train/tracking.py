"""The metrics of a training to TensorBoard, trackio or Weights & Biases as well (--config track=NAME); off by default.

Gets the rows that metrics.csv gets, each once. No part of what a training is: ids and code digests do not hold it, and
nothing of it is imported unless it is asked for.
"""

from __future__ import annotations

import importlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefrepro.specs.runtime import Metrics

PROJECT = "prefrepro"


def tracker(name: str, results: Path, run_id: str, spec: dict[str, Any]) -> Callable[[Metrics], None]:
    """A tracker of one run. TensorBoard's files: results/<scale>/tensorboard/<run>/, made anew by each attempt."""
    write = _tensorboard(results / "tensorboard" / run_id) if name == "tensorboard" else _like_wandb(name, run_id, spec)
    n_written = 0

    def track(metrics: Metrics) -> None:
        nonlocal n_written
        for row in metrics[n_written:]:
            values = {key: value for key, value in row.items() if key != "step" and math.isfinite(value)}
            write(values, int(row["step"]))
        n_written = len(metrics)

    return track


def _tensorboard(folder: Path) -> Callable[[dict[str, float], int], None]:
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)  # an attempt that goes on has the earlier rows too
    writer = SummaryWriter(str(folder))

    def write(values: dict[str, float], step: int) -> None:
        for key, value in values.items():
            writer.add_scalar(key, value, step)
        writer.flush()

    return write


def _like_wandb(name: str, run_id: str, spec: dict[str, Any]) -> Callable[[dict[str, float], int], None]:
    """trackio has the interface of wandb. Its run ends with the process."""
    library = importlib.import_module(name)
    library.init(project=PROJECT, name=run_id, config=spec)

    def write(values: dict[str, float], step: int) -> None:
        library.log(values, step=step)

    return write
