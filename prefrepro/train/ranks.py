"""Several processes that train one model: who they are, which sequences each reads, how all see every value.

Every rank knows all rows of a step and computes the loss of whole groups; only reading is divided. So the order of
rows, a contrast matrix and a mean over a batch do not know how many ranks there are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from prefrepro.model.examples import Tokens, by_length
from prefrepro.model.packing import by_prompt

LONGEST_WAIT = timedelta(hours=1)
"""For the others; also for a first rank that waits until an orphan of the same run has ended."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all."""

    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def any(self, is_so: bool) -> bool:
        """Whether it is so on any rank. All ranks must ask."""
        answers: list[bool] = [False] * self.size
        dist.all_gather_object(answers, is_so)
        return any(answers)

    def gather(self, value: Any) -> list[Any]:
        """The value of each rank. All ranks must ask."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes; known before the ranks have met."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def joined(is_wanted: bool) -> Iterator[Ranks | None]:
    """The ranks that torchrun started, or, where one `is_wanted`, a group of this process alone; else None."""
    if not launched() and not is_wanted:
        yield None
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    if launched():
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
    else:
        only = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
        dist.init_process_group(backend, store=only, rank=0, world_size=1)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def shares(sequences: Sequence[Tokens], size: int, is_even: bool) -> list[list[int]]:
    """Which sequences, by number, each of `size` ranks reads; the same answer on every rank, and all of them once.

    Those of one prompt stay together, where they are encoded once, and ranks get about as many tokens. `is_even`: as
    many sequences each, but for one.
    """
    if is_even:
        order = by_length(sequences)
        return [order[rank::size] for rank in range(size)]

    def cost(numbers: list[int]) -> int:
        responses = sum(len(sequences[number].response_ids) for number in numbers)
        return len(sequences[numbers[0]].prompt_ids) + responses

    found: list[list[int]] = [[] for _ in range(size)]
    loads = [0] * size
    for numbers in sorted(by_prompt(sequences), key=cost, reverse=True):
        rank = loads.index(min(loads))
        found[rank] += numbers
        loads[rank] += cost(numbers)
    return found


class _AllGather(torch.autograd.Function):
    """(n, …) of each rank to (size · n, …) on all.

    Every rank computes the same loss of all values, so the gradient of its own is its slice; those of the weights are
    to be summed, not averaged.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, rank: int, size: int) -> Tensor:
        ctx.place = slice(rank * len(own), (rank + 1) * len(own))
        found = own.new_empty(size * len(own), *own.shape[1:])
        # torch 2.11 has the second name alone.
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        gather(found, own.contiguous())
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0][ctx.place], None, None


def read_together(ranks: Ranks, is_even: bool, read: Callable[[list[Tokens]], Any], sequences: Sequence[Tokens]) -> Any:
    """`read(sequences)` on every rank, each having read its share: a tensor (S, …), or a tuple of such, with gradient.

    Every rank reads something, and with `is_even` equally many sequences, because their collectives have to meet; what
    is read beyond its share gets no gradient. All ranks must ask for the same.
    """
    parts = shares(sequences, ranks.size, is_even)
    own, widest = parts[ranks.rank], max(map(len, parts))
    spare = (widest if is_even else 1) - len(own)
    shortest = by_length(sequences)[0]
    found = read([sequences[number] for number in own] + [sequences[shortest]] * max(spare, 0))
    places = torch.empty(len(sequences), dtype=torch.long)
    for rank, part in enumerate(parts):
        places[part] = torch.arange(len(part)) + rank * widest

    def whole(values: Tensor) -> Tensor:
        filled = torch.cat([values[: len(own)], values.new_zeros(widest - len(own), *values.shape[1:])])
        gathered: Any = _AllGather.apply(filled, ranks.rank, ranks.size)
        return gathered[places.to(values.device)]

    return tuple(map(whole, found)) if isinstance(found, tuple) else whole(found)
