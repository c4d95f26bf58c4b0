"""Weights held wider than they are computed with, in one process: what FSDP does for several (train/sharded.py).

The model computes with narrow copies of its weights. A gradient is added to that of the wide weight as soon as backward
has it, and an update of the wide weights, or a checkpoint that is loaded into them, makes the copies anew.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WideWeights:
    """`module`: the weights as they were, with names, ties and gradients, for optimiser, clipping and checkpoints."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        """From now on `model` computes in `dtype`; its buffers stay."""
        self.module = copy.deepcopy(model)
        self.pairs = list(zip(model.parameters(), self.module.parameters(), strict=True))
        for narrow, wide in self.pairs:
            narrow.data = wide.data.to(dtype)
        self.handles: list[Any] = [self.module.register_load_state_dict_post_hook(self._refresh)]
        self.handles += [
            narrow.register_post_accumulate_grad_hook(lambda narrow, wide=wide: _pass_on(narrow, wide))
            for narrow, wide in self.pairs
            if wide.requires_grad
        ]

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Make the copies anew after each of its steps."""
        self.handles.append(optimizer.register_step_post_hook(self._refresh))

    def give_back(self) -> None:
        """The model has its weights as wide as they were."""
        for handle in self.handles:
            handle.remove()
        for narrow, wide in self.pairs:
            narrow.data = wide.data

    @torch.no_grad()
    def _refresh(self, *_: Any) -> None:
        for narrow, wide in self.pairs:
            narrow.copy_(wide)


def _pass_on(narrow: Tensor, wide: Tensor) -> None:
    grad = narrow.grad
    if grad is not None:
        wide.grad = grad.to(wide.dtype) if wide.grad is None else wide.grad.add_(grad)
        narrow.grad = None
