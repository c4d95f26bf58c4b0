"""TRL's DPO trainer as candidates, in the ways that it offers. A further trainer is one more function here.

TRL is not among the project's packages: `make bench-train` puts it into a folder of its own.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.clock import Clock
from bench.workload import BATCH, BETA, CLIP, LR, SEED, Row, Workload, text
from prefrepro.errors import UserError


def each_positive_with_each_negative(row: Row) -> list[tuple[int, int]]:
    """The comparisons that Swepo's loss makes: all of them."""
    n = row.positives()
    return list(itertools.product(range(n), range(n, len(row.responses))))


def every_response_once(row: Row) -> list[tuple[int, int]]:
    """The fewest comparisons of a positive with a negative that no response is left out of."""
    positives, negatives = list(range(row.positives())), list(range(row.positives(), len(row.responses)))
    n = max(len(positives), len(negatives))
    return [(positives[i % len(positives)], negatives[i % len(negatives)]) for i in range(n)]


def trl_live(workload: Workload, folder: Path, clock: Clock) -> float:
    """The reference model runs beside the policy."""
    return _dpo(workload, folder, clock)


def trl_precomputed(workload: Workload, folder: Path, clock: Clock) -> float:
    """Reference log-probs computed before training."""
    return _dpo(workload, folder, clock, precompute_ref_log_probs=True)


def trl_precomputed_cover(workload: Workload, folder: Path, clock: Clock) -> float:
    """The same on the fewest pairs that hold every response."""
    return _dpo(workload, folder, clock, every_response_once, precompute_ref_log_probs=True)


def trl_defaults(workload: Workload, folder: Path, clock: Clock) -> float:
    """What a user gets who sets nothing: bfloat16 autocast and activation checkpointing."""
    return _dpo(workload, folder, clock, bf16=True, gradient_checkpointing=True)


def trl_padding_free(workload: Workload, folder: Path, clock: Clock) -> float:
    """Precomputed and packed, where this version of TRL does it."""
    return _dpo(workload, folder, clock, precompute_ref_log_probs=True, padding_free=True)


def _dpo(
    workload: Workload, folder: Path, clock: Clock, comparisons: Any = each_positive_with_each_negative, **options: Any
) -> float:
    """Train on the workload's rows in its order; returns rows per optimiser step.

    Of groups a step holds as many pairs as ours holds groups, and the pairs of one group follow each other.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = workload.rows()
    order = [rows[number] for step in workload.step_rows() for number in step.chosen]
    pairs = [(row.prompt, row.responses[a], row.responses[b]) for row in order for a, b in comparisons(row)]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    settings = {"learning_rate": LR, "use_cpu": True, **options}
    train_dpo(
        model, AutoTokenizer.from_pretrained(folder), pairs[: workload.steps * BATCH], BATCH, clock.tick, settings
    )
    return BATCH * len(order) / len(pairs)


def train_dpo(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[tuple[list[int], list[int], list[int]]],
    batch: int,
    tick: Callable[[float], None],
    settings: dict[str, Any],
) -> None:
    """TRL's trainer through token ids of (prompt, chosen, rejected) in their order, `batch` a step.

    `settings`: of its DPOConfig. Raises UserError where TRL is not installed or reads other tokens.
    """
    try:
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"TRL cannot be imported ({error}); make bench-train installs it") from error
    from transformers import TrainerCallback

    names = "prompt", "chosen", "rejected"
    data = Dataset.from_list([dict(zip(names, map(text, pair), strict=True)) for pair in pairs])

    class Timed(DPOTrainer):
        """Ticks at the end of a step, with the loss as it is and not as it is logged."""

        last = 0.0

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            self.last = float(loss)
            return loss

    class Tick(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            tick(trainer.last)

    with tempfile.TemporaryDirectory() as out:
        usual: dict[str, Any] = {
            "output_dir": out,
            "per_device_train_batch_size": batch,
            "precompute_ref_batch_size": batch,
            "max_steps": len(pairs) // batch,
            "lr_scheduler_type": "constant",
            "optim": "rmsprop",
            "max_grad_norm": CLIP,
            "beta": BETA,
            "bf16": False,
            "gradient_checkpointing": False,
            "max_length": None,
            "train_sampling_strategy": "sequential",
            "dataloader_pin_memory": False,
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "seed": SEED,
        }
        trainer = Timed(
            model=model,
            args=DPOConfig(**usual | settings),
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[Tick()],
        )
        if settings.get("padding_free") and not trainer.padding_free:
            raise UserError("this version of TRL turns padding_free off again")
        first = trainer.train_dataset[0]
        found = first["prompt_ids"], first["chosen_ids"], first["rejected_ids"]
        if found != pairs[0]:
            raise UserError(f"TRL reads other tokens: {found[0][:8]} …, expected {pairs[0][0][:8]} …")
        trainer.train()
