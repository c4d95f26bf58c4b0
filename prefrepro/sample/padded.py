"""Answers of a transformers model to the token ids of prompts, in padded batches.

An answer ends by the rules of model/decode.py.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from prefrepro.model.decode import Answer, decode, sampling_arguments
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

    def room_after(self, prompt: list[int]) -> int:
        """The most tokens of an answer to this prompt."""
        return min(self.room, self.max_length - len(prompt))


class Engine(abc.ABC):
    """Answers prompts."""

    version = metadata.version("transformers")
    seeded_per = "draw"
    """What has a random stream of its own: draw | batch | answer."""
    processes = 1
    advance: Callable[[int], object] = staticmethod(lambda n_answers: None)
    """Called with the number of new answers."""

    @abc.abstractmethod
    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        """One for each prompt, in their order. The prompts are sorted by length."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call of a model answers; `seed` None: the random stream goes on where it is."""

    prompts: list[list[int]]
    request: Request
    seed: int | None


Answered = Callable[[list[Batch]], Iterator[list[Answer]]]
"""(batches) -> the answers of each, in order"""


@torch.inference_mode()
def answer_batch(model: Any, tokenizer: Any, batch: Batch) -> list[Answer]:
    """Answers to the prompts of a batch, with a key-value cache."""
    if batch.seed is not None:
        torch.manual_seed(batch.seed)
    request = batch.request
    settings = sampling_arguments(request.temperature, request.top_p)
    return decode(model, tokenizer, batch.prompts, request.room, request.max_length, settings)


def batches(prompts: list[list[int]], request: Request, size: int, seed_per: str) -> list[Batch]:
    """The prompts in their order, `size` at a time. With `seed_per` batch, what one draws does not move the next."""
    by_batch = seed_per == "batch"
    return [
        Batch(prompts[start : start + size], request, seed_for(request.seed, f"batch/{number}") if by_batch else None)
        for number, start in enumerate(range(0, len(prompts), size))
    ]


class Padded(Engine):
    """transformers, batch by batch, prompts of like length together; a batch ends with its longest answer."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int, seed_per: str = "draw") -> None:
        self.batch_size, self.seeded_per = batch_size, seed_per
        self.answered: Answered = functools.partial(map, functools.partial(answer_batch, model.eval(), tokenizer))

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        torch.manual_seed(request.seed)
        found: list[Answer] = []
        for some in self.answered(batches(prompts, request, self.batch_size, self.seeded_per)):
            found += some
            self.advance(len(some))
        return found
