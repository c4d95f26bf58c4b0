"""What every section of bench.first_gpu builds on: a line of its page, tiny models and rows, and a watched training."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.gpu import free, make_inputs, peak_gib
from bench.matmul import settle
from bench.shapes import Lengths, draw_lengths
from bench.workload import BOS, EOS, PAD, word_tokenizer
from methods.contract import Needs
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import Groups, Pairs, Tokens
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.policy import Policy
from prefrepro.model.respond import responder
from prefrepro.model.rollout import RolloutLearner
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.plan.memory import GIB, Shape
from prefrepro.specs.runtime import Engine
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train
from prefrepro.train.ranks import Ranks, joined

SEED = 0
LIMIT = 512
"""RPO Table 5: tokens of prompt and response."""
WARM_UP = 2
"""Steps before those that are timed."""
TINY = Shape(32, 2, 4, 2, 16, 64, 64)
OF_DATA = RolloutSettings(responses="data", ppo_epochs=1, minibatches=1, max_head_grad_norm=0.1, max_new_tokens=None)


@dataclass(frozen=True, slots=True)
class Found:
    """What a case measured."""

    measured: str
    is_so: bool | None = None
    """Whether the claim holds; None: there is nothing to hold the figure against."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the page."""

    line: str
    """Its name, of which its section has one"""
    claim: str
    expected: str
    run: Callable[[], Found]


@dataclass(frozen=True, slots=True)
class Place:
    """Where cases run, and at what size."""

    device: torch.device
    is_tiny: bool
    out: Path = Path(tempfile.gettempdir())
    """The folder of the results."""

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def judged(self, is_so: bool) -> bool | None:
        """A figure of speed or memory is held against its claim on a GPU alone."""
        return is_so if self.is_gpu and not self.is_tiny else None


@cache
def ranks() -> Ranks | None:
    """A group of this process alone, as a training has it that holds wide weights on a GPU; it stays until the end."""
    return contextlib.ExitStack().enter_context(joined(torch.cuda.is_available()))


def model_of(shape: Shape, device: torch.device, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A model with random weights, drawn on a GPU where there is one; `changes`: of its transformers config."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        **{
            "model_type": "qwen2" if shape.has_bias else "llama",
            "hidden_size": shape.hidden_size,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "intermediate_size": shape.intermediate_size,
            "vocab_size": shape.vocab_size,
            "tie_word_embeddings": shape.is_tied,
            "max_position_embeddings": 4096,
            "pad_token_id": PAD,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            **changes,
        }
    )
    torch.manual_seed(SEED)
    with device if device.type == "cuda" else contextlib.nullcontext():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.to(device)


def inputs_of(needs: Needs, vocab: int, n: int = 24) -> Inputs:
    """Rows of random tokens with all that a method of these needs receives."""
    lengths = draw_lengths(n, (12.0, 6.0), k=4, cap=32)
    noise = torch.Generator().manual_seed(SEED)
    if needs.rows == "groups":
        flat = make_inputs([Lengths(row.prompt, row.responses[:2]) for row in lengths], vocab).pairs
        other = make_inputs([Lengths(row.prompt, row.responses[2:]) for row in lengths], vocab).pairs
        groups = []
        for first, second, third in zip(flat.chosen, flat.rejected, other.chosen, strict=True):
            groups.append([first, second, Tokens(first.prompt_ids, third.response_ids)])
        scores = [sorted(torch.rand(3, generator=noise).tolist(), reverse=True) for _ in groups]
        reference = -30 + 5 * torch.randn(n, 3, generator=noise)
        return Inputs(Pairs([], [], [], {}), reference, groups=Groups(groups, scores, flat.prompt_ids, {}))
    inputs = make_inputs([Lengths(row.prompt, row.responses[:2]) for row in lengths], vocab)
    if needs.reference_rewards:
        inputs = dataclasses.replace(inputs, reference_rewards=torch.randn(n, 3, generator=noise))
    if not needs.mismatched:
        return inputs
    pairs = inputs.pairs
    moved = [
        [Tokens(own.prompt_ids, other.response_ids) for own, other in zip(side, [*side[1:], side[0]], strict=True)]
        for side in (list(pairs.chosen), list(pairs.rejected))
    ]
    reference = -30 + 5 * torch.randn(n, 2, generator=noise)
    partners = Pairs(moved[0], moved[1], pairs.prompt_ids, {})
    return dataclasses.replace(inputs, mismatched=partners, mismatched_reference=reference)


def settings(**changes: Any) -> dict[str, Any]:
    """The `training` section of a run's spec."""
    values: dict[str, Any] = {
        "optimizer": "rmsprop", "lr": 1e-5, "warmup_steps": 0, "epochs": 1.0, "max_steps": 5, "batch_size": 4,
        "micro_batch": 8, "contrast_size": 4, "max_grad_norm": 10.0, "max_length": LIMIT,
        "max_prompt_length": LIMIT // 2, "truncation_mode": "keep_end", "cut_prompts": "with_response",
        "dtype": "float32", "log_every": 1, "eval_every": None, "checkpoint_every": 10**6, "threads": 1,
    }  # fmt: skip
    return values | changes


def learner_of(name: str, policy: Policy, inputs: Inputs, training: Training, is_own: bool = False) -> Learner:
    """The training of a policy with a method's defaults; `is_own`: on its own responses, rewarded by length."""
    method: Any = importlib.import_module(f"methods.{name}")
    objective = Objective(method.loss, method.Hparams(), method.NEEDS)
    if method.NEEDS.shape != "rollout":
        return Learner(policy, objective, inputs, training, SEED)
    respond = None
    if is_own:
        tokenizer = word_tokenizer(policy.model.config.vocab_size)

        def rewards(sequences: Sequence[Tokens]) -> torch.Tensor:
            return torch.tensor([float(len(sequence.response_ids)) for sequence in sequences])

        respond = responder(policy.model, tokenizer, rewards, 64, 12, training.micro_batch)
    return RolloutLearner(policy, objective, inputs, training, SEED, respond)


def losses_of(learner: Learner, folder: Path | None = None, stop_after: int = 0) -> list[float]:
    """The loss of every step of the project's own trainer; KeyboardInterrupt after `stop_after` steps leaves it."""

    def on_log(metrics: list[dict[str, float]]) -> None:
        if metrics[-1]["step"] == stop_after:
            raise KeyboardInterrupt

    is_divided = learner.training.is_mixed and learner.policy.model.device.type == "cuda"
    with tempfile.TemporaryDirectory() as own:
        store = CheckpointStore(folder or Path(own))
        outcome = train(learner, store, on_log=on_log, ranks=ranks() if is_divided else None)
    return [entry["loss"] for entry in outcome.metrics]


@dataclass(slots=True)
class Watched:
    """A training of a large shape as a device saw it."""

    tokens_per_step: float
    """Mean of the timed ones, of every sequence, its prompt included"""
    most_packed: int
    """Tokens that the model reads at once"""
    peak_gib: float = 0.0
    seconds: list[float] = field(default_factory=list)
    """Of each timed step"""
    busy_s: float | None = None
    """Time of one step in which the device computed, from its profile; None: not on this device"""

    @property
    def step_s(self) -> float:
        return sorted(self.seconds)[len(self.seconds) // 2]


def watched(place: Place, model: Any, rows: list[Lengths], steps: int, engine: Engine, **changes: Any) -> Watched:
    """DPO on rows of these lengths with float32 weights, computed in bfloat16, as scales pocket and paper have it.

    One step after the timed ones is profiled: its kernels tell how long the device is busy.
    """
    batch, total = len(rows), WARM_UP + steps + place.is_gpu
    drawn = rows * total
    inputs = make_inputs(drawn, model.config.vocab_size)
    training = Training(
        **settings(
            **{
                "max_steps": total, "batch_size": batch, "micro_batch": 2 * batch, "contrast_size": batch, "lr": 5e-7,
                "compute_dtype": "bfloat16", **changes,
            }
        )
    )  # fmt: skip
    learner = learner_of("dpo", Policy(model, PAD), inputs, training)
    taken = [[drawn[number] for number in learner.rows_of(step).chosen] for step in range(total)]
    timed = taken[WARM_UP : WARM_UP + steps]
    found = Watched(
        tokens_per_step=sum(row.separate for step in timed for row in step) / steps,
        most_packed=max(sum(row.unique for row in step) for step in taken),
    )
    ticks: list[float] = []
    profiler = profile(activities=[ProfilerActivity.CUDA]) if place.is_gpu else None

    def on_log(metrics: list[dict[str, float]]) -> None:
        settle(place.device)
        ticks.append(time.perf_counter())
        if profiler is not None and len(ticks) == total - 1:
            found.peak_gib = peak_gib(place.device)
            profiler.start()

    is_divided = place.is_gpu and training.is_mixed
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder))
        train(learner, store, on_log=on_log, ranks=ranks() if is_divided else None, engine=engine)
    if profiler is None:
        found.peak_gib = peak_gib(place.device)
    else:
        settle(place.device)
        profiler.stop()
        found.busy_s = busy_seconds(profiler)
    found.seconds = [after - before for before, after in pairwise(ticks[WARM_UP - 1 : WARM_UP + steps])]
    return found


def busy_seconds(profiler: Any) -> float:
    """Seconds in which at least one kernel ran: the union of their times."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
    )
    total, end = 0.0, 0.0
    for first, last in spans:
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total / 1e6


def once(function: Callable[[], Watched]) -> Callable[[], Watched]:
    """`function`, run at the first call; later ones get its result, or are told of its error.

    The error itself is not kept: its frames would hold the model.
    """
    kept: list[Watched] = []
    failed: list[str] = []

    def call() -> Watched:
        if failed:
            raise RuntimeError(failed[0])
        if not kept:
            failed.append("the training that this line is of failed")
            kept.append(function())
            failed.clear()
        return kept[0]

    return call


def held_gib(parts: dict[str, float]) -> float:
    """What plan/memory.py predicts for tensors: all but CUDA's own."""
    return sum(value for name, value in parts.items() if name != "CUDA") / GIB


def fresh(place: Place, shape: Shape, **changes: Any) -> Any:
    """`model_of`, once what earlier cases held is given back."""
    free(place.device)
    return model_of(shape, place.device, **changes).train()
