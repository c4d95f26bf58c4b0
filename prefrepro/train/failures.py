"""Steps that give no number or find no memory: what is said of them, and which may be left out.

Knows nothing of methods, models or files.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch

from prefrepro.errors import UserError
from prefrepro.train.checkpoint import CheckpointStore

SKIPS_IN_A_ROW = 10
"""So many steps without a number are no accident of a batch: the training has failed."""
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad allocation")
"""How torch's allocators say it where they raise a plain RuntimeError."""


class Mishaps:
    """Of one training. `skipped` are steps, counted from 1, in which an update was left out."""

    def __init__(self, on_nan: str, store: CheckpointStore, skipped: Sequence[int] = ()) -> None:
        self._on_nan, self._store = on_nan, store
        self.skipped = list(skipped)

    def no_number(self, step: int, prompt_ids: Sequence[str], loss: float, norms: dict[str, float], lr: float) -> None:
        """Note that an update of `step` is left out, or raise UserError: with on_nan "stop", or after too many."""
        in_a_row = self.skipped[1 - SKIPS_IN_A_ROW :] == list(range(step + 1 - SKIPS_IN_A_ROW, step))
        if self._on_nan == "skip" and not in_a_row:
            if step not in self.skipped:
                self.skipped.append(step)
            return
        many = f", after {SKIPS_IN_A_ROW - 1} such steps that were skipped" if self._on_nan == "skip" else ""
        of = ", ".join(f"of {name} {norm}" for name, norm in norms.items())
        raise UserError(
            f"step {step}: the loss is {loss} and the gradient norm {of}{many}. {self._where(prompt_ids)} Next: look "
            f"at these rows, lower lr ({lr}), or leave such steps out with on_nan: skip among the training's settings."
        )

    @contextlib.contextmanager
    def of_memory(self, step: int, prompt_ids: Sequence[str], micro_batch: int) -> Iterator[None]:
        """Say which step found no memory, and what to do. Raises UserError."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_of_memory(error):
                raise
            cause = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise UserError(
                f"step {step}: there is not enough memory ({cause}). "
                f"{self._where(prompt_ids)} Next: lower micro_batch ({micro_batch}), which changes memory and not the "
                "batch, or give the job more; run again, which goes on from that checkpoint."
            ) from error

    def check_end(self, loss: float) -> None:
        """Raise UserError where no step gave a number."""
        if self.skipped and not math.isfinite(loss):
            raise UserError(f"no step of this training gave a number: all {len(self.skipped)} were left out")

    def _where(self, prompt_ids: Sequence[str]) -> str:
        return (
            f"Prompts of this batch: {', '.join(sorted(set(prompt_ids)))}. Last good checkpoint: {self._store.last()}."
        )


def _is_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in NO_MEMORY)
