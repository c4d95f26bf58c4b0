"""A trained Bradley–Terry reward model as a function of text (RPO paper, Eq. 2).

It is trained like every other method (methods/bradley_terry.py); this is how a judge reads it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from prefrepro.data.template import TAGS
from prefrepro.data.truncate import TruncationCounts, limits_of
from prefrepro.model.examples import encode
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy


def load(folder: Path) -> Callable[[str, str], float]:
    """A function (history, response) -> score, of a run's `folder`, which are cut as it was trained.

    Scores have no unit: only differences count.
    """
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(folder / "model")
    policy = Policy(load_model(folder / "model", "float32", "score"), tokenizer.pad_token_id, "score")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    limits, one_at_a_time = limits_of(run["spec"]["training"]), threading.Lock()

    def score(history: str, response: str) -> float:
        with one_at_a_time:  # a fast tokenizer is not safe to share between threads
            sequences = encode(tokenizer, [history + TAGS["assistant"]], [response], limits, TruncationCounts())
            return float(policy.score_all(sequences, 1)[0])

    return score
