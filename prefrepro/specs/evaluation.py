"""What an evaluation gives: verdicts, and numbers that are no mean of verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # planning reads the names below and wants no pandas
    import pandas as pd

EVALUATIONS = {
    "pairwise": "prefrepro.judge.pairwise",
    "alpaca_eval": "prefrepro.judge.alpaca.evaluate",
    "mt_bench": "prefrepro.judge.mt_bench",
    "arena_hard": "prefrepro.judge.arena_hard",
}
"""Evaluation -> the module whose `evaluate(rows, client, spec)` gives an Evaluation."""

PREFERENCE = "preference"
"""The evaluation that samples nothing and asks no judge: held-out labels say what is right (judge/preference.py)"""
OF_PREFERENCE = ("part", "by", "dtype")
LABELS = "held-out labels"
"""What stands where others name their judge"""

ANNOTATORS = {
    "weighted": "weighted_alpaca_eval_gpt4_turbo",  # AlpacaEval 2, log-probs of one token
    "weighted_gpt4.1": "weighted_alpaca_eval_gpt4.1",  # upstream's main since 2025: the same, judged by gpt-4.1
    "fn": "alpaca_eval_gpt4_turbo_fn",  # AlpacaEval 2, tool call; RPO's (Table 5; README.md:61)
    "ae1": "alpaca_eval_gpt4",  # AlpacaEval 1, text
}
"""AlpacaEval's annotators by the names that paper.yaml has for them"""


class Evaluation(NamedTuple):
    """The result of judging one sample set."""

    frame: pd.DataFrame
    """Rows of verdicts.csv, but for the id of their set."""
    metrics: dict[str, Any]
    """Name -> {value, replicates, n}, or empty. Replicate b of every sample set drew the same prompts."""
