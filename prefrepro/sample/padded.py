"""Answers of a transformers model to the token ids of prompts, in padded batches.

An answer ends by the rules of model/decode.py. Knows nothing of files, turns or temperatures by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from prefrepro.model.decode import Answer, StopAt, decode, sampling_arguments
from prefrepro.model.seeds import seed_for


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
    stop_at: StopAt = "role_tag"

    def room_after(self, prompt: list[int]) -> int:
        """The most tokens of an answer to this prompt."""
        return min(self.room, self.max_length - len(prompt))


def ignore(n_answers: int) -> None:
    """What an engine does for each few answers unless the caller has a progress bar."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of a model answers; `seed` None: the random stream goes on where it is."""

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
    limits = request.room, request.max_length
    return decode(model, tokenizer, ids.to(place), mask.to(place), *limits, settings, request.stop_at)


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
        self.advance: Callable[[int], object] = ignore

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        torch.manual_seed(request.seed)
        found: list[Answer] = []
        for batch in batches(prompts, request, self.batch_size, self.seeded_per):
            found += answer_batch(self.model, self.tokenizer, batch)
            self.advance(len(batch.prompts))
        return found
