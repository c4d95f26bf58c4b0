"""Steps that give no number or find no memory: what the user is told, and which updates may be left out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch

from prefrepro.errors import UserError
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore

SKIPS_IN_A_ROW = 10
"""So many steps without a number are no accident of a batch: the training has failed."""
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad allocation")
"""How torch's allocators say it where they raise a plain RuntimeError."""


class Failures:
    """The failures of one training. `skipped` are steps, counted from 1, in which an update was left out."""

    def __init__(self, training: Training, store: CheckpointStore, skipped: Sequence[int] = ()) -> None:
        self._training, self._store = training, store
        self.skipped = list(skipped)

    def no_number(self, step: int, prompt_ids: Sequence[str], loss: float, norms: dict[str, float]) -> None:
        """Note that an update of `step` is left out, or raise UserError: with on_nan "stop", or after too many."""
        is_skip = self._training.on_nan == "skip"
        in_a_row = self.skipped[1 - SKIPS_IN_A_ROW :] == list(range(step + 1 - SKIPS_IN_A_ROW, step))
        if is_skip and not in_a_row:
            if step not in self.skipped:
                self.skipped.append(step)
            return
        many = f", after {SKIPS_IN_A_ROW - 1} such steps that were skipped" if is_skip else ""
        found = ", ".join(f"of {name} {norm}" for name, norm in norms.items())
        raise UserError(
            f"step {step}: the loss is {loss} and the gradient norm {found}{many}. {self._where(prompt_ids)} Next: "
            f"look at these rows, lower lr ({self._training.lr}), or leave such steps out with on_nan: skip among the "
            "training's settings."
        )

    @contextlib.contextmanager
    def memory(self, step: int, prompt_ids: Sequence[str]) -> Iterator[None]:
        """Say which step found no memory, and what to do. Raises UserError."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_memory_error(error):
                raise
            cause = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise UserError(
                f"step {step}: there is not enough memory ({cause}). {self._where(prompt_ids)} Next: lower micro_batch "
                f"({self._training.micro_batch}), which changes memory and not the batch, or give the job more; run "
                "again, which goes on from that checkpoint."
            ) from error

    def check_end(self, loss: float) -> None:
        """Raise UserError where no step gave a number."""
        if self.skipped and not math.isfinite(loss):
            raise UserError(f"no step of this training gave a number: all {len(self.skipped)} were left out")

    def _where(self, prompt_ids: Sequence[str]) -> str:
        return (
            f"Prompts of this batch: {', '.join(sorted(set(prompt_ids)))}. Last good checkpoint: {self._store.last()}."
        )


def _is_memory_error(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in NO_MEMORY)
