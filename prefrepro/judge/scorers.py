"""What a local judge scores with: (history, response) -> a number, higher is better.

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from prefrepro.errors import UserError

Scorer = Callable[[str, str], float]
BY_LENGTH = {"length": -1, "longer": 1}


def load_scorer(spec: str) -> Scorer:
    """`world`, `reward-model:DIR`, `classifier:DIR`, `replay:FILE`, `length` (the shorter answer is the better one) or
    `longer` (the longer one is). Raises UserError.

    A replay file is JSON, score by `replay_key`; what is not in it cannot be scored (KeyError).
    """
    kind, _, folder = spec.partition(":")
    if kind in BY_LENGTH and not folder:
        return lambda _history, response: BY_LENGTH[kind] * float(len(response))
    if kind == "world" and not folder:
        from prefrepro.data.world.reward import reward

        return lru_cache(maxsize=65536)(reward)
    if kind == "reward-model" and Path(folder or "/nowhere").is_dir():
        from prefrepro.model.reward_model import load

        return lru_cache(maxsize=65536)(load(Path(folder)))
    if kind == "classifier" and Path(folder or "/nowhere").is_dir():
        from prefrepro.judge.classifier import Classifier

        return lru_cache(maxsize=65536)(Classifier(Path(folder)))
    if kind == "replay" and Path(folder or "/nowhere").is_file():
        scores: dict[str, float] = json.loads(Path(folder).read_text(encoding="utf-8"))
        return lambda history, response: scores[replay_key(history, response)]
    raise UserError(
        f'scorer "{spec}" is not usable. Known: world, reward-model:DIR and replay:FILE (they must exist), length, '
        "nonsense."
    )


def replay_key(history: str, response: str) -> str:
    """What names a published score: hex SHA-256 of the history, its outer blanks cut, and the response as shown."""
    return hashlib.sha256(f"{history.strip()}\0{response}".encode()).hexdigest()
