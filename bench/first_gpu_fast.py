"""Sections of bench.first_gpu on memory and speed: large steps, peaks, training, sampling, checkpoints."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from bench import gpu
from bench.campaign import RATE, WAYS
from bench.first_gpu_cases import (
    LIMIT,
    SEED,
    TINY,
    Case,
    Found,
    Place,
    Watched,
    fresh,
    held_gib,
    once,
    ranks,
    settings,
    watched,
)
from bench.matmul import settle
from bench.shapes import Lengths, draw_lengths
from bench.stamp import stamp
from bench.workload import BOS, PAD, WORDS, word_tokenizer
from prefrepro.files import ROOT
from prefrepro.model.optimizer import build_optimizer
from prefrepro.model.policy import Policy
from prefrepro.plan.memory import GIB, OVERHEAD, Shape, shapes, training_bytes
from prefrepro.sample.engines import Continuous
from prefrepro.sample.padded import Engine as Sampler
from prefrepro.sample.padded import Padded, Request
from prefrepro.specs.files import read_mapping
from prefrepro.specs.runtime import Engine
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.sharded import Sharded
from prefrepro.train.state import State

MISTRAL = "mistralai/Mistral-7B-v0.1"
SMALL = {
    "SmolLM2-135M": Shape(576, 30, 9, 3, 64, 1536, 49152, is_tied=True),
    "SmolLM2-360M": shapes()["HuggingFaceTB/SmolLM2-360M"],
    "Qwen2.5-1.5B": shapes()["Qwen/Qwen2.5-1.5B"],
}
"""The first: its config.json (bench/workload.py has it too)."""
BILLION = Shape(2048, 22, 32, 4, 64, 5632, 32000)
"""TinyLlama's, as `1b` of bench/shapes.py."""
CHECKPOINTED = Engine(activation_checkpointing=True)
WAY_OF = {"padded_live": WAYS[1], "padded": WAYS[2], "packed": WAYS[3], "shared": WAYS[4]}
"""Candidate of bench/gpu.py -> the campaign's arithmetic that it stands for."""
LEAST = 0.7
"""The prediction is an upper bound; more than this share of it should be used."""


def _scale(name: str) -> dict[str, Any]:
    return read_mapping(ROOT / f"config/scales/{name}.yaml")


def _memory(place: Place, shape: Shape, found: Watched) -> Found:
    """A peak beside what plan/memory.py predicts of as many tokens."""
    training = settings(compute_dtype="bfloat16", micro_batch_tokens=found.most_packed)
    predicted = held_gib(training_bytes(shape, training, is_checkpointed=True))
    is_so = LEAST * predicted <= found.peak_gib <= predicted
    text = f"{found.peak_gib:.2f} GiB of {predicted:.2f} predicted for {found.most_packed} tokens at once"
    return Found(text, place.judged(is_so))


def steps(place: Place) -> Iterator[Case]:
    """A 7B model as scale paper trains it: float32 weights, bfloat16 compute, checkpointing, RMSprop."""
    shape = TINY if place.is_tiny else shapes()[MISTRAL]
    promised = _scale("paper")["forecast"]["tokens_per_s"]["training"]["mistral-7b"]
    for sequences in (4, 8) if place.is_tiny else (16, 64, 128):

        def train(n: int = sequences) -> Watched:
            rows = draw_lengths(n // 2, (12.0, 6.0), cap=32) if place.is_tiny else draw_lengths(n // 2)
            return watched(place, fresh(place, shape), rows, 3, CHECKPOINTED)

        run = once(train)

        def peak(run: Callable[[], Watched] = run) -> Found:
            return _memory(place, shape, run())

        def speed(run: Callable[[], Watched] = run) -> Found:
            found = run()
            rate = found.tokens_per_step / found.step_s
            flops = 8 * shape.layers * shape.layer * found.most_packed / found.step_s
            share = f"about {flops / RATE:.0%} of {RATE / 1e12:.0f} TFLOP/s with what is computed again"
            text = f"{rate:,.0f} tokens/s, prompts counted twice; {found.step_s:.3f} s a step"
            return Found(text, place.judged(rate >= promised), share if place.is_gpu else "")

        def idle(run: Callable[[], Watched] = run) -> Found:
            found = run()
            if found.busy_s is None:
                return Found("not profiled on a CPU")
            share = max(0.0, 1 - found.busy_s / found.step_s)
            return Found(f"{share:.0%} of {found.step_s:.3f} s", place.judged(share <= 0.2))

        name = f"7B, {sequences} sequences"
        yield Case(f"{name}: peak memory", "plan/memory.py bounds it", f"{LEAST:.0%} to 100 % of the prediction", peak)
        yield Case(f"{name}: speed", "config/scales/paper.yaml forecasts it", f"≥ {promised:,} tokens/s", speed)
        yield Case(f"{name}: idle share", "the device does not wait for the host", "≤ 20 % of a step", idle)


def peaks(place: Place) -> Iterator[Case]:
    """The models of scale pocket as it trains them, 16 sequences at the texts' limits."""
    card = _scale("pocket")["resources"]["default"]["device_gib"]
    for name, full in SMALL.items():
        shape = TINY if place.is_tiny else full
        training = settings(compute_dtype="bfloat16", micro_batch=16)
        total = sum(training_bytes(shape, training, is_checkpointed=True).values()) / GIB

        def peak(shape: Shape = shape) -> Found:
            length = 16 if place.is_tiny else LIMIT // 2
            rows = [Lengths(length, (length, length))] * 8
            found = watched(place, fresh(place, shape), rows, 1, CHECKPOINTED)
            own = _memory(place, shape, found)
            fits = found.peak_gib + OVERHEAD / GIB <= card
            is_so = own.is_so and fits if own.is_so is not None else None
            return Found(own.measured, is_so, f"{found.step_s:.3f} s a step")

        expected = f"{LEAST:.0%} to 100 % of the prediction; {total:.1f} GiB at most with CUDA's own, of {card}"
        yield Case(f"{name}: peak memory", "it fits a 24 GB card (docs/pocket.md)", expected, peak)


def training(place: Place) -> Iterator[Case]:
    """The candidates of bench/gpu.py, whose CSV gets a row of each too."""

    @cache
    def rate() -> float:
        return gpu.rate_of(place.device)

    for name in ("tiny",) if place.is_tiny else ("1b", "7b"):
        for candidate in ("shared", "packed", "trl", "padded", "padded_live"):
            run = partial(_candidate, place, name, candidate, rate)
            if candidate == "trl":
                yield Case(f"{name}, TRL", "its DPO with precomputed reference, the peer", "slower than shared", run)
                continue
            way = WAY_OF[candidate]
            expected = f"≥ {way.rate_share:.0%} of the matrix rate on what it computes"
            yield Case(f"{name}, {candidate}", f"the campaign's arithmetic: «{way.name}»", expected, run)


def _candidate(place: Place, name: str, candidate: Any, rate: Callable[[], float]) -> Found:
    if candidate == "trl" and find_spec("trl") is None:
        raise ModuleNotFoundError("TRL is not installed here; bring its wheels along (docs/performance.md)")
    batch, n_steps = (2, 1) if place.is_tiny else (16, 5)
    row = gpu.measure(name, candidate, batch, n_steps, place.device, rate(), False)
    out = place.out / ("gpu.csv" if place.is_gpu else "gpu-cpu.csv")
    gpu.record(out, row | stamp("torch", "transformers", machine=gpu.machine_of(place.device)))
    text = (
        f"{row['step_s']:.3f} s a step of {batch} pairs, {row['unique_tokens_per_s']:,.0f} unique tokens/s, "
        f"{row['flops_share']:.1%} of the rate on them, peak {row['peak_memory_gib']:.1f} GiB"
    )
    rows = {one["candidate"]: float(one["step_s"]) for one in gpu.read_rows(out) if one["shape"] == name}
    if candidate == "trl":
        shared = rows.get("shared", 0.0)
        return Found(f"{text}; {row['step_s'] / shared:.2f} × shared's time" if shared else text,
                     place.judged(row["step_s"] > shared) if shared else None)  # fmt: skip
    way = WAY_OF[candidate]
    reached = row["flops_share"] * row["computed_tokens_per_unique"] * (4 / 3 if way.live else 1)
    return Found(text, place.judged(reached >= way.rate_share), f"{reached:.0%} on what it computes")


def sampling(place: Place) -> Iterator[Case]:
    """Milliseconds for one token of every answer, by batch and dtype; then both engines beside each other."""
    small = TINY if place.is_tiny else SMALL["SmolLM2-360M"]
    promised = _scale("paper")["forecast"]["tokens_per_s"]["sampling"]["mistral-7b"]
    pocket = _scale("pocket")["forecast"]["tokens_per_s"]["sampling"]["mistral-7b"]
    sizes = (2,) if place.is_tiny else (32, 8, 128)
    plan: list[tuple[str, Shape, torch.dtype, int, int]] = []
    if not place.is_tiny:
        plan += [("7B", shapes()[MISTRAL], torch.bfloat16, 32, promised)]
    for dtype in (torch.bfloat16, torch.float32):
        plan += [("SmolLM2-360M", small, dtype, size, pocket if size == 32 else 0) for size in sizes]
    for name, shape, dtype, size, least in plan:
        text = f"≥ {least} tokens/s" if least else "no claim"
        line = f"{name}, {str(dtype).removeprefix('torch.')}, {size} answers at a time"
        claim = "the scales' forecast of sampling" if least else "a figure to plan with"
        yield Case(line, claim, text, partial(_decoding, place, shape, dtype, size, least))
    for dtype in (torch.float32, torch.bfloat16):
        text = str(dtype).removeprefix("torch.")
        is_exact = dtype == torch.float32
        claim = "the same greedy answers" if is_exact else "faster where answers differ in length"
        expected = "equal token ids" if is_exact else "less time (docs/sampling.md)"
        yield Case(f"continuous beside padded, {text}", claim, expected, partial(_engines, place, small, dtype))


def _prompts(shape: Shape, lengths: list[int]) -> list[list[int]]:
    draw = random.Random(SEED)
    return [[BOS, *(draw.randrange(WORDS, shape.vocab_size) for _ in range(n - 1))] for n in sorted(lengths)]


def _timed(place: Place, engine: Sampler, prompts: list[list[int]], request: Request) -> tuple[float, list[list[int]]]:
    settle(place.device)
    started = time.perf_counter()
    answers = engine.answers(prompts, request)
    settle(place.device)
    return time.perf_counter() - started, [answer.ids for answer in answers]


def _decoding(place: Place, shape: Shape, dtype: torch.dtype, size: int, least: float) -> Found:
    length, room = (8, 4) if place.is_tiny else (110, 64)
    engine = Padded(fresh(place, shape, dtype=dtype), word_tokenizer(shape.vocab_size), size)
    prompts = _prompts(shape, [length] * size)
    _timed(place, engine, prompts, Request(0.0, 1.0, 4, LIMIT, SEED, "eos"))  # to warm up
    seconds, ids = _timed(place, engine, prompts, Request(0.0, 1.0, room, LIMIT, SEED, "eos"))
    made, longest = sum(map(len, ids)), max(map(len, ids))
    text = f"{1000 * seconds / longest:.1f} ms a step, {made / seconds:,.0f} tokens/s"
    return Found(
        text, place.judged(made / seconds >= least) if least else None, f"peak {gpu.peak_gib(place.device):.1f} GiB"
    )


def _engines(place: Place, shape: Shape, dtype: torch.dtype) -> Found:
    model, tokenizer = fresh(place, shape, dtype=dtype, initializer_range=0.06), word_tokenizer(shape.vocab_size)
    n, size, most = (3, 2, 24) if place.is_tiny else (64, 16, 256)
    # A prompt leaves what the limit leaves: answers of 1/16 to 15/16 of it.
    prompts = _prompts(shape, [max(2, most * (1 + 14 * number // n) // 16) for number in range(n)])
    request = Request(0.0, 1.0, most, most, SEED, "eos")
    own = {}
    for name, engine in (
        ("padded", Padded(model, tokenizer, size)),
        ("continuous", Continuous(model, tokenizer, size)),
    ):
        _timed(place, engine, prompts[-2:], request)
        own[name] = _timed(place, engine, prompts, request)
    same = sum(a == b for a, b in zip(own["padded"][1], own["continuous"][1], strict=True))
    padded, continuous = own["padded"][0], own["continuous"][0]
    text = f"{same} of {n} answers equal; padded {padded:.2f} s, continuous {continuous:.2f} s"
    return Found(text, same == n if dtype == torch.float32 else place.judged(continuous < padded))


def checkpoint(place: Place) -> Iterator[Case]:
    """Weights of 1.1 billion parameters and RMSprop's state, written and read back with their checksums."""
    claim = "checkpoints of scale paper are written by time (7B: 54 GiB)"
    yield Case("one file", claim, "no claim", partial(_checkpoint, place, False))
    yield Case("shards of one rank", claim, "no claim", partial(_checkpoint, place, True))


def _checkpoint(place: Place, is_divided: bool) -> Found:
    model = fresh(place, TINY if place.is_tiny else BILLION)
    group = ranks() if is_divided and place.is_gpu else None
    if is_divided and group is None:
        return Found("shards are of ranks on a GPU")
    if group is not None:
        Sharded(Policy(model, PAD), group, "bfloat16")
    optimizer = build_optimizer(list(model.parameters()), {"optimizer": "rmsprop", "lr": 0.0})
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        state = State(CheckpointStore(Path(folder)), {"model": model}, optimizer, group)
        times = [time.perf_counter()]
        state.save(1, {"tokens": 0})
        times.append(time.perf_counter())
        found = state.load()
        settle(place.device)
        times.append(time.perf_counter())
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    write, read = (size / (after - before) / 1e9 for before, after in pairwise(times))
    text = f"{size / 1e9:.2f} GB: {write:.2f} GB/s written, {read:.2f} GB/s read"
    seconds = 2 * 4 * shapes()[MISTRAL].parameters / 1e9 / write
    return Found(text, None if found else False, f"7B: {seconds:.0f} s a checkpoint" if place.is_gpu else "")
