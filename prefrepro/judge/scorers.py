"""What a local judge scores with: (history, response) -> a number, higher is better.

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from prefrepro.errors import UserError

Scorer = Callable[[str, str], float]


def load_scorer(spec: str) -> Scorer:
    """`world`, `reward-model:DIR` or `length` (the shorter answer is the better one). Raises UserError."""
    kind, _, folder = spec.partition(":")
    if kind == "length" and not folder:
        return lambda _history, response: -float(len(response))
    if kind == "world" and not folder:
        from prefrepro.data.world.reward import reward

        return lru_cache(maxsize=65536)(reward)
    if kind == "reward-model" and Path(folder or "/nowhere").is_dir():
        from prefrepro.train.reward_model import load

        return lru_cache(maxsize=65536)(load(Path(folder)))
    raise UserError(f'scorer "{spec}" is not usable. Known: world, reward-model:DIR (it must exist), length, nonsense.')
