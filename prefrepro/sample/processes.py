"""One process for each device, each with the model: batches are scattered to them, and gathered in order.

Imports torch in those processes only, because they must choose their device before anything looks for one.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrepro.errors import UserError

if TYPE_CHECKING:
    from prefrepro.model.decode import Answer
    from prefrepro.sample.padded import Batch

DEVICES = "CUDA_VISIBLE_DEVICES"


def visible_devices() -> list[str]:
    """Names of the CUDA devices of this process, as CUDA_VISIBLE_DEVICES has them; none without one."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(DEVICES)
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


class Processes(AbstractContextManager["Processes"]):
    """One process for each of `devices` ("" is the CPU), from `with` on until its end."""

    def __init__(self, devices: Sequence[str], checkpoint: Path, dtype: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork that has seen a GPU cannot use one
        free = context.SimpleQueue()
        for device in devices:
            free.put(device)
        self.count = len(devices)
        self.pool = ProcessPoolExecutor(self.count, context, _begin, (free, checkpoint, dtype, threads))

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def map(self, batches: list[Batch]) -> Iterator[list[Answer]]:
        """The answers of each batch, in order. Raises UserError where a process has ended before its work had."""
        try:
            yield from self.pool.map(_answer, batches)
        except BrokenProcessPool as error:
            raise UserError(
                f"one of {self.count} sampling processes ended before its batch was answered; its own message stands "
                "above. Out of memory? Next: a smaller sampling.batch_size, or one device for the job"
            ) from error


_MODEL: list[Any] = []
"""[model, tokenizer] of a process of the pool."""


def _begin(free: Any, checkpoint: Path, dtype: str, threads: int) -> None:
    os.environ[DEVICES] = free.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import torch

    from prefrepro.model.load import load_model, load_tokenizer

    torch.set_num_threads(threads)
    _MODEL.extend((load_model(checkpoint, dtype).eval(), load_tokenizer(checkpoint)))


def _end_with_parent() -> None:
    """A parent that was killed closes no pool: without this its processes would wait, and hold their devices."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(batch: Batch) -> list[Answer]:
    from prefrepro.sample.padded import answer_batch

    model, tokenizer = _MODEL
    return answer_batch(model, tokenizer, batch)
