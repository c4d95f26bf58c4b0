"""make bench-gpu: tokens per second, share of the matrix unit's rate and peak memory of a training step on a GPU.

Random weights of a real model's shape, pairs of HH-like lengths, RPO-Paired with one contrast matrix a step. The rate
is that of a large bfloat16 product measured on the same device; what counts are the operations that unique tokens need,
whatever a candidate computes beside them. Without a CUDA device nothing is measured, and the command says so;
`--device cpu --shape tiny` runs the same code where there is none.
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from bench.clock import peak_rss_mb
from bench.matmul import matmul_rate, settle
from bench.ours import plain_loop
from bench.peers import train_dpo
from bench.shapes import CAP, SHAPES, Lengths, Shape, draw_lengths, padded_tokens, step_flops
from bench.stamp import RESULTS, STAMP, cpu, read_rows, stamp, write_rows
from bench.workload import BOS, EOS, PAD, WORDS, word_tokenizer
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.model.batches import Inputs, step_rows
from prefrepro.model.examples import Pairs, Tokens
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train

LIVE = "padded_live"
Candidate = Literal["padded_live", "padded", "packed", "shared", "trl"]
"""The plain loop with a live reference, a layout of our trainer's, or TRL's DPO with its reference computed before"""
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

    model = make_model(shape, device, dtype, is_checkpointing and candidate != "trl")
    steps = len(rows) // batch
    if candidate == "trl":
        pairs = [(a.prompt_ids, a.response_ids, b.response_ids) for a, b in _sides(inputs)]
        settings = {"learning_rate": LR, "precompute_ref_log_probs": True, "use_cpu": device.type == "cpu"}
        settings |= {"gradient_checkpointing": is_checkpointing}
        train_dpo(model, word_tokenizer(shape.vocab_size), pairs, batch, tick, settings)
    elif candidate == "padded_live":
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


def _sides(inputs: Inputs) -> Iterator[tuple[Tokens, Tokens]]:
    return zip(inputs.pairs.chosen, inputs.pairs.rejected, strict=True)


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
    candidate: Candidate,
    batch: int,
    steps: int,
    device: torch.device,
    rate: float,
    is_checkpointing: bool,
) -> dict[str, Any]:
    """The row of one candidate. Raises OutOfMemoryError or UserError where it does not fit or is not installed."""
    shape = SHAPES[name]
    drawn = (WARM_UP + steps) * batch
    rows = draw_lengths(drawn, (6.0, 4.0), cap=32) if name == "tiny" else draw_lengths(drawn)
    unique = sum(row.unique for row in rows) / len(rows)
    padded = padded_tokens(rows, batch)
    computed = {LIVE: padded, "padded": padded, "trl": padded} | {
        "packed": sum(row.separate for row in rows),
        "shared": sum(row.unique for row in rows),
    }
    free(device)
    seconds = statistics.median(step_times(candidate, shape, rows, batch, device, is_checkpointing))
    return {
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
        "peak_memory_gib": peak_gib(device),
        "steps": steps,
    }


def record(out: Path, row: dict[str, Any]) -> None:
    """Put a row into the CSV in the place of the one of the same shape, candidate and settings; others stay."""

    def place(one: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(one[name]) for name in ("shape", "candidate", "checkpointing", "pairs_per_step"))

    rows = [one for one in read_rows(out) if place(one) != place(row)] + [row]
    live = {place(one | {"candidate": ""}): float(one["step_s"]) for one in rows if one["candidate"] == LIVE}
    ratios = [live.get(place(one | {"candidate": ""}), 0) / float(one["step_s"]) or "" for one in rows]
    write_rows(out, COLUMNS, [one | {"ratio_to_padded_live": ratio} for one, ratio in zip(rows, ratios, strict=True)])


def rate_of(device: torch.device) -> float:
    """FLOP/s of a large product in the dtype that candidates compute in."""
    is_gpu = device.type == "cuda"
    return matmul_rate(device, 8192 if is_gpu else 256, torch.bfloat16 if is_gpu else torch.float32)


def machine_of(device: torch.device) -> str:
    """The card's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu()


def free(device: torch.device) -> None:
    """Give back what earlier measurements held, and count the peak from here."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float:
    """Most memory that was held; that of this process where the device is the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else peak_rss_mb() / 1024


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="Training steps of large shapes on a GPU.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: does it run? With --shape tiny")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["1b", "7b"])
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=CANDIDATES)
    parser.add_argument("--batch", type=int, default=16, help="pairs of a step, all in one contrast matrix")
    parser.add_argument("--steps", type=int, default=8, help="timed ones")
    parser.add_argument("--checkpointing", action="store_true", help="make activations twice instead of keeping them")
    parser.add_argument("--out", type=Path, help="default: bench/results/gpu.csv; of the CPU a file that is no result")
    arguments = parser.parse_args()
    is_gpu = arguments.device == "cuda"
    if is_gpu and not torch.cuda.is_available():
        print("skipped: there is no CUDA device. --device cpu --shape tiny runs the same code on the CPU")
        return
    if not is_gpu and arguments.shape != ["tiny"]:
        raise UserError(
            f"--shape {' '.join(arguments.shape)} takes hours on a CPU; give --shape tiny, or --device cuda"
        )
    torch.set_num_threads(1)  # the CPU only hands out work
    device = torch.device(arguments.device)
    out = arguments.out or (RESULTS / "gpu.csv" if is_gpu else Path(tempfile.gettempdir()) / "prefrepro-gpu-cpu.csv")
    rate, stamped = rate_of(device), stamp("torch", "transformers", machine=machine_of(device))
    for name in arguments.shape:
        for candidate in arguments.only:
            try:
                row = measure(name, candidate, arguments.batch, arguments.steps, device, rate, arguments.checkpointing)
            except (torch.OutOfMemoryError, UserError) as error:
                print(f"skipped: {name}, {candidate}: {str(error).splitlines()[0]}", flush=True)
                continue
            record(out, row | stamped)
            share = f"{row['flops_share']:.1%} of the rate on unique tokens"
            print(f"{name}, {candidate}: {row['step_s']:.3f} s a step, {share}", flush=True)
    print(f"{out} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
