"""The order of training rows in the released RPO code, of which the golden file holds some; our own is another.

One stream of Python's `random`, seeded once, shuffles the prompts and then, at the start of each epoch, the flat list
of examples. The released trainer draws its evaluation batches first, from the same stream (docs/protocol.md#batches).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

Pairs = Sequence[int]
"""How many pairs each prompt has."""


def paired_order(train: Pairs, batch_size: int, **held_out: Any) -> list[list[tuple[int, int]]]:
    """Batches of one epoch: (prompt, pair)."""
    return _order(_pairs, _consecutive, train, batch_size, **held_out)


def unpaired_order(
    train: Pairs, batch_size: int, is_balanced: bool, **held_out: Any
) -> list[list[tuple[int, int, int]]]:
    """Batches of one epoch: (prompt, pair, 1 for chosen or 0 for rejected).

    Balanced batches are half chosen, half rejected, interleaved; others are as the shuffle leaves them.
    """
    return _order(_sides, _interleaved if is_balanced else _consecutive, train, batch_size, **held_out)


def _order(
    examples_of: Callable[[random.Random, Pairs], list[Any]],
    form: Callable[[list[Any], int], list[list[Any]]],
    train: Pairs,
    batch_size: int,
    *,
    seed: int,
    eval_pairs_per_prompt: Pairs,
    eval_batch_size: int,
    n_eval_examples: int,
) -> list[list[Any]]:
    rng = random.Random(seed)
    examples, n_served = examples_of(rng, eval_pairs_per_prompt), 0
    while n_served < n_eval_examples:
        rng.shuffle(examples)
        n_served += sum(map(len, form(examples, eval_batch_size)))
    examples = examples_of(rng, train)
    rng.shuffle(examples)
    return form(examples, batch_size)


def _pairs(rng: random.Random, pairs_per_prompt: Pairs) -> list[tuple[int, int]]:
    prompts = list(range(len(pairs_per_prompt)))
    rng.shuffle(prompts)
    return [(prompt, pair) for prompt in prompts for pair in range(pairs_per_prompt[prompt])]


def _sides(rng: random.Random, pairs_per_prompt: Pairs) -> list[tuple[int, int, int]]:
    return [(prompt, pair, side) for prompt, pair in _pairs(rng, pairs_per_prompt) for side in (1, 0)]


def _consecutive(examples: list[Any], batch_size: int) -> list[list[Any]]:
    ends = range(batch_size, len(examples) + 1, batch_size)
    return [examples[end - batch_size : end] for end in ends]


def _interleaved(examples: list[Any], batch_size: int) -> list[list[Any]]:
    """c, r, c, r, …: each side in its shuffled order."""
    sides = [_consecutive([example for example in examples if example[2] == side], batch_size // 2) for side in (1, 0)]
    pairs = zip(*sides, strict=False)
    return [list(itertools.chain.from_iterable(zip(chosen, rejected, strict=True))) for chosen, rejected in pairs]
