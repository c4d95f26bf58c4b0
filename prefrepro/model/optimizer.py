"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.99, eps=1e-8, momentum=0, weight_decay=0),
    "adamw": partial(torch.optim.AdamW, betas=(0.9, 0.999), eps=1e-8, weight_decay=0),
}
"""rmsprop: torch's defaults, spelled out, as the released trainers.py:350. adamw: no weight decay, the default of the
HF Trainer that the NCA and zephyr recipes run on."""
FUSED = ("adamw",)
"""Optimisers of which torch has a fused kernel. The others go through one tensor at a time: all of a group at once is
another copy of the parameters, 25 GiB at 7B, and saves 7 ms of a step."""


def warmup_lr(step: int, lr: float, warmup_steps: int, schedule: str = "constant", steps: int = 0) -> float:
    """Learning rate of the 0-based `step` of `steps`: linear to `lr`, then as `schedule` says.

    constant: `lr` (released trainers.py:351). linear, cosine: down to 0 at the end of the run, as the HF Trainer's
    schedules of these names (NCA yamls/reward_qlora.yaml: cosine), but for a warm-up that starts above 0.
    """
    if step <= warmup_steps or schedule == "constant":
        return lr * min(1.0, (step + 1) / (warmup_steps + 1))
    done = (step - warmup_steps) / (steps - warmup_steps)
    return lr * (1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2)


def build_optimizer(params: Iterable[Any], training: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimiser that `training` names (keys `optimizer`, `lr`); the trainer sets `lr` anew at each step.

    `params`: tensors, or groups as torch.optim takes them.
    """
    name = str(training["optimizer"])
    groups = list(params)
    first = groups[0]["params"][0] if isinstance(groups[0], dict) else groups[0]
    more = {"fused": True} if name in FUSED and first.is_cuda else {"foreach": False}
    return OPTIMIZERS[name](groups, lr=training["lr"], **more)
