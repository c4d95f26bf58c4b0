"""Which part a prompt belongs to, which prompts are sampled, and in what order rows are served.

The orders are those of the released RPO code: one stream of Python's `random`, seeded once, shuffles the
prompts and then, at the start of each epoch, the flat list of examples; only full batches are served
(PROTOCOL.md §1.2, §1.8).
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prefrepro.data.rows import Row
from prefrepro.errors import UserError

Example = TypeVar("Example")
PairIndex = tuple[int, int]
"""(prompt, which pair of that prompt)."""
SideIndex = tuple[int, int, int]
"""(prompt, which pair of that prompt, 1 for chosen or 0 for rejected)."""


def split_of(prompt_id: str, parts: Mapping[str, float], salt: str) -> str:
    """The part of a prompt, from a hash of its id: the same on every machine and for every order of the data.

    `parts` are fractions that sum to 1, such as {"train": 0.7, "eval": 0.15, "judge": 0.15}; their order is
    of no account. Another `salt` gives another split.
    """
    digest = hashlib.sha256(f"{salt}\n{prompt_id}".encode()).digest()
    place, reached = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    names = sorted(name for name, share in parts.items() if share > 0)
    for name in names[:-1]:
        reached += parts[name]
        if place < reached:
            return name
    return names[-1]


def unique_prompts(rows: Iterable[Row]) -> dict[str, Row]:
    """The first row of each prompt, by prompt id, in order of appearance.

    Sampling sees each prompt once, and the first chosen completion is its SFT target (`sft_index` 0,
    PROTOCOL.md §1.1); preference training sees every row.
    """
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.prompt_id, row)
    return first


def eval_prompt_order(n_unique: int, n_samples: int | None, batch_size: int, seed: int = 1) -> list[int]:
    """Indices of the prompts to sample, the same for every model (golden op `eval_prompt_order`).

    `n_samples` is rounded up to full batches; `None` means one pass, less the last partial batch (800 of
    AlpacaEval's 805 prompts). As in the released code a prompt comes again if `n_samples` is more than one
    pass holds. Raises UserError where the prompts do not fill one batch.
    """
    rng = random.Random(seed)
    prompts = list(range(n_unique))
    rng.shuffle(prompts)
    n_epochs = 1 if n_samples is None else None
    batches = _batches(rng, prompts, batch_size, _consecutive, n_epochs=n_epochs, n_examples=n_samples)
    return list(itertools.chain.from_iterable(batches))


def paired_order(
    pairs_per_prompt: Sequence[int],
    batch_size: int,
    *,
    seed: int = 1,
    n_epochs: int = 1,
    eval_pairs_per_prompt: Sequence[int] = (),
    eval_batch_size: int = 32,
    n_eval_examples: int = 8,
) -> list[list[PairIndex]]:
    """Training batches of pairs (golden op `paired_train_order`).

    The released trainer draws its evaluation batches first, from the same stream, so that the training order
    depends on the evaluation set: give `eval_pairs_per_prompt` to copy this, leave it empty for an order of
    the training data alone.
    """
    rng = random.Random(seed)
    if eval_pairs_per_prompt:
        held_out = _pairs(rng, eval_pairs_per_prompt)
        list(_batches(rng, held_out, eval_batch_size, _consecutive, n_epochs=None, n_examples=n_eval_examples))
    return list(_batches(rng, _pairs(rng, pairs_per_prompt), batch_size, _consecutive, n_epochs=n_epochs))


def unpaired_order(
    pairs_per_prompt: Sequence[int],
    batch_size: int,
    *,
    is_balanced: bool,
    seed: int = 1,
    n_epochs: int = 1,
    eval_pairs_per_prompt: Sequence[int] = (),
    eval_batch_size: int = 32,
    n_eval_examples: int = 8,
) -> list[list[SideIndex]]:
    """Training batches of single completions; each pair gives two.

    Balanced batches are half chosen, half rejected, interleaved (`rpo_unpaired_train_order`); others are as
    the shuffle leaves them (`kto_ppo_train_order`). The evaluation set counts as in `paired_order`.
    """
    rng = random.Random(seed)
    form = _interleaved if is_balanced else _consecutive
    if eval_pairs_per_prompt:
        held_out = _sides(rng, eval_pairs_per_prompt)
        list(_batches(rng, held_out, eval_batch_size, form, n_epochs=None, n_examples=n_eval_examples))
    return list(_batches(rng, _sides(rng, pairs_per_prompt), batch_size, form, n_epochs=n_epochs))


def _pairs(rng: random.Random, pairs_per_prompt: Sequence[int]) -> list[PairIndex]:
    prompts = list(range(len(pairs_per_prompt)))
    rng.shuffle(prompts)
    return [(prompt, pair) for prompt in prompts for pair in range(pairs_per_prompt[prompt])]


def _sides(rng: random.Random, pairs_per_prompt: Sequence[int]) -> list[SideIndex]:
    return [(prompt, pair, side) for prompt, pair in _pairs(rng, pairs_per_prompt) for side in (1, 0)]


def _batches(
    rng: random.Random,
    examples: list[Example],
    batch_size: int,
    form: Callable[[list[Example], int], list[list[Example]]],
    *,
    n_epochs: int | None,
    n_examples: int | None = None,
) -> Iterator[list[Example]]:
    """Full batches of epoch after epoch, until `n_epochs` are over or `n_examples` are reached."""
    n_served = 0
    for _ in itertools.count() if n_epochs is None else range(n_epochs):
        rng.shuffle(examples)
        batches = form(examples, batch_size)
        if not batches:
            raise UserError(f"{len(examples)} examples do not fill a batch of {batch_size}; expected a smaller one.")
        for batch in batches:
            yield batch
            n_served += len(batch)
            if n_examples is not None and n_served >= n_examples:
                return


def _consecutive(examples: list[Example], batch_size: int) -> list[list[Example]]:
    if batch_size < 1:
        raise UserError(f"batch size is {batch_size}; expected at least 1.")
    ends = range(batch_size, len(examples) + 1, batch_size)
    return [examples[end - batch_size : end] for end in ends]


def _interleaved(examples: list[SideIndex], batch_size: int) -> list[list[SideIndex]]:
    """c, r, c, r, …: each side in its shuffled order."""
    if batch_size < 2 or batch_size % 2:
        raise UserError(f"batch size is {batch_size}; expected an even number, because half is chosen, half rejected.")
    sides = [_consecutive([example for example in examples if example[2] == side], batch_size // 2) for side in (1, 0)]
    return [
        list(itertools.chain.from_iterable(zip(chosen, rejected, strict=True)))
        for chosen, rejected in zip(*sides, strict=False)
    ]
