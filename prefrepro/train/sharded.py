"""A policy whose weights, gradients and optimiser state are divided among ranks (FSDP2).

Weights may be held wider than they are computed with, on one GPU too; one process on a CPU does so by itself
(model/mixed.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from prefrepro.model.examples import Tokens
from prefrepro.model.load import DTYPES
from prefrepro.model.policy import Policy
from prefrepro.train.engine import layers_of
from prefrepro.train.ranks import Ranks, read_together


class Reader(nn.Module):
    """Calls a function of the model where FSDP holds embeddings, final norm and head together, as if it were its
    forward: the function may use the head's weight and call parts of the model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


class Sharded:
    """Reads and samples from a policy whose weights are divided."""

    def __init__(self, policy: Policy, ranks: Ranks, compute_dtype: str | None) -> None:
        """Divides `policy.model` in place, from equal weights on all ranks. `compute_dtype`: None: the weights'."""
        model, own_dtype = policy.model, policy.model.dtype
        reduce_dtype = own_dtype if compute_dtype else None
        options: dict[str, Any] = {
            "mesh": init_device_mesh(model.device.type, (ranks.size,)),
            "mp_policy": MixedPrecisionPolicy(
                param_dtype=DTYPES[compute_dtype] if compute_dtype else None, reduce_dtype=reduce_dtype
            ),
        }
        for layer in layers_of(model):
            fully_shard(layer, **options)
        self.reader: Any = fully_shard(Reader(model), **options)
        self.parts = [module for module in self.reader.modules() if isinstance(module, FSDPModule)]
        for part in self.parts:  # the sum, where FSDP has the mean: each rank has the gradient of its sequences alone
            part.set_force_sum_reduction_for_comms(True)
            part.set_gradient_divide_factor(1.0)
        self.ranks, self.is_even = ranks, policy.layout == "padded"  # one pass each, where it is packed
        policy.through = self.read

    def read(self, read: Callable[[Sequence[Tokens]], Any], sequences: Sequence[Tokens]) -> Any:
        """`read(sequences)` on every rank, each having read its share."""
        if not sequences:
            return read(sequences)
        found = read_together(self.ranks, self.is_even, partial(self.reader, read), sequences)
        if not torch.is_grad_enabled():
            self.reader.reshard()  # else it waits for a backward that does not come
        return found

    def share(self, do: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """What `do` makes of each item with the model, such as samples, no gradient: each rank does some of them, with
        all weights at hand, and all get every result. All ranks must ask for the same."""
        # One that is over when there are fewer than ranks does the first again: all gather the weights together.
        own = items[self.ranks.rank :: self.ranks.size] or items[:1]
        for part in self.parts:
            part.set_reshard_after_forward(False)
        done = self.reader(lambda: [do(item) for item in own])
        for part in self.parts:
            part.set_reshard_after_forward(part is not self.reader)
            part.reshard()
        every = self.ranks.gather(done)
        return [every[number % self.ranks.size][number // self.ranks.size] for number in range(len(items))]


def whole_weights(model: nn.Module) -> dict[str, Any]:
    """All weights of a divided model on the first rank's CPU, nothing on the others. All ranks must ask."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(model, options=options)
