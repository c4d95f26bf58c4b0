"""A trained Bradley–Terry reward model as a function of text (RPO paper, Eq. 2).

It is trained like every other method (methods/bradley_terry.py); this is how a judge reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import torch

from prefrepro.data.template import TAGS
from prefrepro.data.truncate import TruncationCounts
from prefrepro.model.examples import Limits, encode
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy


def load(folder: Path, max_length: int = 512, max_prompt_length: int = 256) -> Callable[[str, str], float]:
    """A function (history, response) -> score, of a run's `folder`. Scores have no unit: only differences count."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(folder / "model")
    policy = Policy(load_model(folder / "model", "float32", "score"), tokenizer.pad_token_id, "score")
    limits, one_at_a_time = Limits(max_length, max_prompt_length, "keep_end"), threading.Lock()

    def score(history: str, response: str) -> float:
        with one_at_a_time:  # a fast tokenizer is not safe to share between threads
            sequences = encode(tokenizer, [history + TAGS["assistant"]], [response], limits, TruncationCounts())
            return float(policy.score_all(sequences, 1)[0])

    return score
