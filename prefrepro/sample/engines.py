"""What turns the token ids of prompts into answers: transformers in padded batches or continuously, or vLLM.

All of them end an answer by the rules of train/decode.py. Knows nothing of files, turns or temperatures by row.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.model.decode import Answer, answer_of, decode, sampling_arguments, stop_ids
from prefrepro.model.load import load_model
from prefrepro.model.seeds import seed_for
from prefrepro.sample.processes import Processes


@dataclass(frozen=True, slots=True)
class Request:
    """How prompts are to be answered."""

    temperature: float
    """0: greedy"""
    top_p: float
    room: int
    """The most tokens of an answer"""
    max_length: int
    """The most tokens of prompt and answer together"""
    seed: int

    def room_after(self, prompt: list[int]) -> int:
        """The most tokens of an answer to this prompt."""
        return min(self.room, self.max_length - len(prompt))


class Engine(Protocol):
    """Answers prompts; `seeded_per` says what has a random stream of its own: draw | batch | answer."""

    version: str
    seeded_per: str
    processes: int

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        """One for each prompt, in their order. The prompts are sorted by length."""
        ...


@contextlib.contextmanager
def open_engine(
    sampling: dict[str, Any], checkpoint: Path, tokenizer: Any, devices: Sequence[str], is_greedy: bool
) -> Iterator[Engine]:
    """The engine that `sampling` names, with the model of a checkpoint; `devices` as in CUDA_VISIBLE_DEVICES.

    Only `transformers` uses more than one device, and only where the answers cannot tell: greedy, or seeds by batch.
    Raises UserError where vLLM is wanted and not installed.
    """
    dtype, size, seed_per = sampling["dtype"], sampling["batch_size"], sampling["seed_per"]
    if sampling["engine"] == "vllm":
        yield VLLM(checkpoint, tokenizer, dtype, sampling["max_length"])
    elif sampling["engine"] == "continuous":
        yield Continuous(load_model(checkpoint, dtype), tokenizer, size)
    elif len(devices) > 1 and (is_greedy or seed_per == "batch"):
        with Processes(devices, checkpoint, dtype, max(1, sampling["threads"] // len(devices))) as processes:
            yield Scattered(processes, tokenizer, size, seed_per)
    else:
        yield Padded(load_model(checkpoint, dtype), tokenizer, size, seed_per)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of a model answers; `seed` None: whatever random stream there is goes on."""

    prompts: list[list[int]]
    request: Request
    seed: int | None


@torch.inference_mode()
def answer_batch(model: Any, tokenizer: Any, batch: Batch) -> list[Answer]:
    """Answers to the prompts of a batch, padded on the left, with a key-value cache."""
    if batch.seed is not None:
        torch.manual_seed(batch.seed)
    rows, request = [torch.tensor(prompt, dtype=torch.long) for prompt in batch.prompts], batch.request
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id, padding_side="left")
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
    settings = sampling_arguments(request.temperature, request.top_p)
    place = model.device
    return decode(model, tokenizer, ids.to(place), mask.to(place), request.room, request.max_length, settings)


def batches(prompts: list[list[int]], request: Request, size: int, seed_per: str) -> list[Batch]:
    """The prompts in their order, `size` at a time. With `seed_per` batch, what one draws does not move the next."""
    by_batch = seed_per == "batch"
    return [
        Batch(prompts[start : start + size], request, seed_for(request.seed, f"batch/{number}") if by_batch else None)
        for number, start in enumerate(range(0, len(prompts), size))
    ]


class Padded:
    """transformers, batch by batch, prompts of like length together; a batch ends with its longest answer."""

    version, processes = metadata.version("transformers"), 1

    def __init__(self, model: Any, tokenizer: Any, batch_size: int, seed_per: str = "draw") -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.batch_size, self.seeded_per = batch_size, seed_per

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        torch.manual_seed(request.seed)
        found: list[Answer] = []
        with tqdm(total=len(prompts), unit="prompt", disable=None) as bar:
            for batch in batches(prompts, request, self.batch_size, self.seeded_per):
                found += answer_batch(self.model, self.tokenizer, batch)
                bar.update(len(batch.prompts))
        return found


class Scattered:
    """`Padded` with one process for each device: the same batches, each answered by whoever is free."""

    version = metadata.version("transformers")

    def __init__(self, processes: Processes, tokenizer: Any, batch_size: int, seed_per: str) -> None:
        self.pool, self.tokenizer, self.batch_size, self.seeded_per = processes, tokenizer, batch_size, seed_per
        self.processes = processes.count

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        found: list[Answer] = []
        with tqdm(total=len(prompts), unit="prompt", disable=None) as bar:
            for some in self.pool.map(batches(prompts, request, self.batch_size, self.seeded_per)):
                found += some
                bar.update(len(some))
        return found


class Continuous:
    """transformers' continuous batching: an answer that ends makes room for the next prompt at once, on paged keys.

    `batch_size` answers at a time, and a cache that holds so many. One random stream for a call.
    """

    version, seeded_per, processes = metadata.version("transformers"), "draw", 1
    PAGE = 256
    """Tokens, transformers' default: what kernels of flash attention want."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        """Raises RuntimeError where an answer is missing."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        stops = stop_ids(self.tokenizer)
        manager = self.model.init_continuous_batching(
            generation_config=GenerationConfig(
                eos_token_id=stops,
                pad_token_id=self.tokenizer.pad_token_id,
                **sampling_arguments(request.temperature, request.top_p),
            ),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=self.PAGE,
                num_blocks=self.batch_size * (-(-request.max_length // self.PAGE) + 1),
                max_requests_per_batch=self.batch_size,
                max_batch_tokens=max(self.batch_size, request.max_length),
                seed=request.seed,
            ),
        )
        found: dict[str, list[int]] = {}
        try:
            # All are in line before the first is answered: which share a step, and so their draws, is no race.
            names = [manager.add_request(prompt, max_new_tokens=request.room_after(prompt)) for prompt in prompts]
            manager.start()
            with tqdm(total=len(prompts), unit="prompt", disable=None) as bar:
                while len(found) < len(prompts):
                    result = manager.get_result(timeout=1)
                    if result is None and not manager.is_running():
                        raise RuntimeError(f"continuous batching stopped with {len(found)} of {len(prompts)} answers")
                    if result is not None and result.is_finished():
                        if result.error is not None:
                            raise RuntimeError(f"continuous batching: {result.error}")
                        found[result.request_id] = result.generated_tokens
                        bar.update(1)
        finally:
            manager.stop(block=True)
            manager.destroy()
        return [answer_of(self.tokenizer, found[str(name)], stops) for name in names]


class VLLM:
    """vLLM on the first visible device, from the extra [vllm]; the keys of a prompt serve all of its draws.

    Every answer has a seed of its own, so its draws depend on no neighbour.
    """

    seeded_per, processes = "answer", 1

    def __init__(self, checkpoint: Path, tokenizer: Any, dtype: str, max_length: int) -> None:
        try:
            self.vllm = importlib.import_module("vllm")
        except ImportError as error:
            raise UserError(
                f"sampling.engine is vllm, which cannot be imported ({error}). Next: pip install 'prefrepro[vllm]' "
                "in an environment of its own (docs/sampling.md), or set engine: transformers"
            ) from error
        self.version, self.tokenizer = metadata.version("vllm"), tokenizer
        self.model = self.vllm.LLM(**vllm_arguments(checkpoint, dtype, max_length))

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        stops = stop_ids(self.tokenizer)
        outputs = self.model.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],  # vllm.TokensPrompt is a TypedDict
            [self.vllm.SamplingParams(**arguments) for arguments in vllm_sampling(prompts, request, stops)],
        )
        return [answer_of(self.tokenizer, list(output.outputs[0].token_ids), stops) for output in outputs]


def vllm_arguments(checkpoint: Path, dtype: str, max_length: int) -> dict[str, Any]:
    """Arguments of vllm.LLM. Nothing is left to a checkpoint's generation_config.json."""
    return {
        "model": str(checkpoint),
        "dtype": dtype,
        "max_model_len": max_length,
        "enable_prefix_caching": True,
        "generation_config": "vllm",
    }


def vllm_sampling(prompts: list[list[int]], request: Request, stops: list[int]) -> list[dict[str, Any]]:
    """Arguments of vllm.SamplingParams, one for each prompt. Tokens come back, the one that stopped among them."""
    return [
        {
            "temperature": request.temperature,
            "top_p": request.top_p if request.temperature else 1.0,
            "top_k": 0,
            "seed": seed_for(request.seed, f"answer/{number}"),
            "max_tokens": request.room_after(prompt),
            "stop_token_ids": stops,
            "detokenize": False,
        }
        for number, prompt in enumerate(prompts)
    ]
