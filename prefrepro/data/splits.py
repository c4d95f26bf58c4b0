"""Which part a prompt belongs to, and which prompts are sampled.

The order of sampled prompts is that of the released RPO code: one stream of Python's `random`, seeded once, shuffles
the prompts and then again at the start of each epoch; only full batches are served (docs/protocol.md#batches).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping

from prefrepro.errors import UserError


def split_of(prompt_id: str, parts: Mapping[str, float], salt: str) -> str:
    """The part of a prompt, from a hash of its id: the same on every machine and for every order of the data.

    `parts` are fractions that sum to 1, such as {"train": 0.7, "eval": 0.15, "judge": 0.15}; their order is
    of no account. Another `salt` gives another split. eval takes the lowest hashes and dev the highest, so that they
    share no prompt in any two plans, whichever of the parts these use.
    """
    digest = hashlib.sha256(f"{salt}\n{prompt_id}".encode()).digest()
    place, reached = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    names = sorted((name for name, share in parts.items() if share > 0), key=lambda name: (name == "dev", name))
    for name in names[:-1]:
        reached += parts[name]
        if place < reached:
            return name
    return names[-1]


def eval_prompt_order(n_unique: int, n_samples: int | None, batch_size: int, seed: int = 1) -> list[int]:
    """Indices of the prompts to sample, the same for every model (golden op `eval_prompt_order`).

    `n_samples` is rounded up to full batches; `None` means one pass, less the last partial batch (800 of
    AlpacaEval's 805 prompts). As in the released code a prompt comes again if `n_samples` is more than one
    pass holds. Raises UserError where the prompts do not fill one batch.
    """
    if not 1 <= batch_size <= n_unique:
        raise UserError(f"{n_unique} prompts do not fill a batch of {batch_size}; expected a batch of 1 to {n_unique}.")
    rng = random.Random(seed)
    prompts, order = list(range(n_unique)), list[int]()
    rng.shuffle(prompts)
    while not order or len(order) < (n_samples or 0):
        rng.shuffle(prompts)
        order += prompts[: n_unique // batch_size * batch_size]
    return order if n_samples is None else order[: -(-n_samples // batch_size) * batch_size]
