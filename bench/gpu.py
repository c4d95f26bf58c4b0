"""make bench-gpu: tokens per second, share of the matrix unit's rate and peak memory of a training step on a GPU.

Random weights of a real model's shape, pairs of HH-like lengths, RPO-Paired with one contrast matrix a step. The rate
is that of a large bfloat16 product measured on the same device; what counts are the operations that unique tokens need,
whatever a candidate computes beside them. Without a CUDA device nothing is measured, and the command says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from bench.clock import peak_rss_mb
from bench.matmul import matmul_rate, settle
from bench.ours import plain_loop
from bench.shapes import CAP, SHAPES, Lengths, Shape, draw_lengths, padded_tokens, step_flops
from bench.stamp import RESULTS, STAMP, cpu, stamp, write_rows
from bench.workload import BOS, EOS, PAD, WORDS
from prefrepro.errors import exit_on_user_error
from prefrepro.model.batches import Inputs, step_rows
from prefrepro.model.examples import Pairs, Tokens
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train

LIVE = "padded_live"
Candidate = Literal["padded_live", "padded", "packed", "shared"]
"""The plain loop with a live reference, or a layout of our trainer's"""
CANDIDATES: tuple[Candidate, ...] = get_args(Candidate)
COLUMNS = (
    "shape", "candidate", "checkpointing", "pairs_per_step", "step_s", "pairs_per_s", "unique_tokens_per_s",
    "computed_tokens_per_unique", "flops_share", "matmul_tflops", "peak_memory_gib", "ratio_to_padded_live", "steps",
    *STAMP,
)  # fmt: skip
WARM_UP = 2
EMBEDDING = 384
LR = 5e-7
SEED = 0


def make_inputs(rows: Sequence[Lengths], vocab: int) -> Inputs:
    """Pairs of random tokens with random prompt embeddings and reference log-probs: speed does not depend on them."""
    draw, noise = random.Random(SEED), torch.Generator().manual_seed(SEED)

    def sequence(prompt: list[int], length: int) -> Tokens:
        return Tokens(prompt, [*(draw.randrange(WORDS, vocab) for _ in range(length - 1)), EOS])

    sides: tuple[list[Tokens], list[Tokens]] = ([], [])
    for row in rows:
        prompt = [BOS, *(draw.randrange(WORDS, vocab) for _ in range(row.prompt - 1))]
        for side, length in zip(sides, row.responses, strict=True):
            side.append(sequence(prompt, length))
    lengths = torch.tensor([row.responses for row in rows])
    return Inputs(
        Pairs(*sides, [str(number) for number in range(len(rows))], {}),
        reference=-lengths * torch.rand(lengths.shape, generator=noise),
        vectors=torch.randn(len(rows), EMBEDDING, generator=noise),
        vector_index=torch.arange(len(rows))[:, None].repeat(1, 2),
    )


def make_model(shape: Shape, device: torch.device, dtype: torch.dtype, is_checkpointing: bool) -> Any:
    """A Llama of this shape with random weights, made on the device; `is_checkpointing`: activations are made twice."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **dataclasses.asdict(shape), max_position_embeddings=4096, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS
    )
    torch.manual_seed(SEED)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    if is_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model.train()


def step_times(
    candidate: Candidate,
    shape: Shape,
    rows: Sequence[Lengths],
    batch: int,
    device: torch.device,
    is_checkpointing: bool,
) -> list[float]:
    """Seconds of each step after the first few, of a fresh model. One step is one contrast matrix."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    method: Any = importlib.import_module("methods.rpo_paired")
    hp, inputs = method.Hparams(), make_inputs(rows, shape.vocab_size)
    ended: list[float] = []

    def tick(_: object) -> None:
        settle(device)
        ended.append(time.perf_counter())

    model = make_model(shape, device, dtype, is_checkpointing)
    steps = len(rows) // batch
    if candidate == "padded_live":
        reference = make_model(shape, device, dtype, False).eval()
        order = step_rows(inputs.prompt_ids, method.NEEDS, batch, SEED)
        plain_loop(model, reference, method, hp, inputs, [order(step) for step in range(steps)], LR, tick)
    else:
        with tempfile.TemporaryDirectory() as folder:
            store = CheckpointStore(Path(folder))
            policy = Policy(model, PAD, layout=candidate)
            objective = Objective(method.loss, hp, method.NEEDS)
            train(Learner(policy, objective, inputs, _training(batch, steps), SEED), store, on_log=tick)
    return [after - before for before, after in zip(ended[WARM_UP - 1 :], ended[WARM_UP:], strict=False)]


def _training(batch: int, steps: int) -> Training:
    return Training(
        optimizer="rmsprop",
        lr=LR,
        warmup_steps=0,
        epochs=1.0,
        max_steps=steps,
        batch_size=batch,
        micro_batch=2 * batch,
        contrast_size=batch,
        max_grad_norm=10.0,
        max_length=CAP,
        max_prompt_length=CAP // 2,
        truncation_mode="keep_end",
        cut_prompts="with_response",
        dtype="bfloat16",
        log_every=1,
        eval_every=0,
        checkpoint_every=steps + 1,
        threads=1,
    )


def measure(
    name: str,
    candidates: Sequence[Candidate],
    batch: int,
    steps: int,
    device: torch.device,
    rate: float,
    is_checkpointing: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One row per candidate that fits the device's memory; `say` hears of the others."""
    shape = SHAPES[name]
    lengths = (6.0, 4.0) if name == "tiny" else None
    drawn = (WARM_UP + steps) * batch
    rows = draw_lengths(drawn, lengths, cap=32) if lengths else draw_lengths(drawn)
    unique = sum(row.unique for row in rows) / len(rows)
    computed = {LIVE: padded_tokens(rows, batch), "padded": padded_tokens(rows, batch)} | {
        "packed": sum(row.separate for row in rows),
        "shared": sum(row.unique for row in rows),
    }
    found: list[dict[str, Any]] = []
    for candidate in candidates:
        _free(device)
        try:
            seconds = statistics.median(step_times(candidate, shape, rows, batch, device, is_checkpointing))
        except torch.OutOfMemoryError as error:
            say(f"{name}, {candidate}: does not fit ({str(error).splitlines()[0]})")
            continue
        row = {
            "shape": name,
            "candidate": candidate,
            "checkpointing": is_checkpointing,
            "pairs_per_step": batch,
            "step_s": seconds,
            "pairs_per_s": batch / seconds,
            "unique_tokens_per_s": unique * batch / seconds,
            "computed_tokens_per_unique": computed[candidate] / (unique * len(rows)),
            "flops_share": step_flops(shape, rows) / len(rows) * batch / seconds / rate,
            "matmul_tflops": rate / 1e12,
            "peak_memory_gib": _peak_gib(device),
            "steps": steps,
        }
        found.append(row)
        say(f"{name}, {candidate}: {seconds:.3f} s a step, {row['flops_share']:.1%} of the rate on unique tokens")
    live = next((row["step_s"] for row in found if row["candidate"] == LIVE), None)
    return [row | ({"ratio_to_padded_live": live / row["step_s"]} if live else {}) for row in found]


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: torch.device) -> float:
    """Of this process where the device is the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else peak_rss_mb() / 1024


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="Training steps of large shapes on a GPU.")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["1b", "7b"])
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=CANDIDATES)
    parser.add_argument("--batch", type=int, default=16, help="pairs of a step, all in one contrast matrix")
    parser.add_argument("--steps", type=int, default=8, help="timed ones")
    parser.add_argument("--checkpointing", action="store_true", help="make activations twice instead of keeping them")
    parser.add_argument("--tiny", action="store_true", help="a model of no size, also without a GPU: does it run?")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.csv")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.tiny:
        print("skipped: there is no CUDA device. python -m bench.gpu --tiny --out FILE runs the same code on the CPU")
        return
    torch.set_num_threads(1)  # the CPU only hands out work
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_large = device.type == "cuda"
    rate = matmul_rate(device, 8192 if is_large else 256, torch.bfloat16 if is_large else torch.float32)
    names = ["tiny"] if arguments.tiny else arguments.shape
    rows: list[dict[str, Any]] = []
    for name in names:
        rows += measure(
            name, arguments.only, arguments.batch, arguments.steps, device, rate, arguments.checkpointing, _say
        )
    machine = torch.cuda.get_device_name(device) if is_large else cpu()
    stamped = stamp("torch", "transformers", machine=machine)
    write_rows(arguments.out, COLUMNS, [row | stamped for row in rows])
    print(f"{arguments.out} is written")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    exit_on_user_error(main)
