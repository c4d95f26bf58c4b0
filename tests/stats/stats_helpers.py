"""Small verdict frames, with the columns that statistics read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

FIRST, SECOND = "candidate_first", "baseline_first"
_SCORES = {"win": 1.0, "tie": 0.5, "loss": 0.0, "invalid": np.nan}


def one_order(words: Sequence[str], order: str = FIRST, draw: int = 0) -> pd.DataFrame:
    """One verdict for each prompt p000, p001, …"""
    return rows(words, [_SCORES[word] for word in words], order, draw)


def both_orders(pairs: Sequence[tuple[str, str]], draw: int = 0) -> pd.DataFrame:
    """(verdict with the candidate first, with the baseline first) for each prompt."""
    first, second = zip(*pairs, strict=True)
    return pd.concat([one_order(first, FIRST, draw), one_order(second, SECOND, draw)], ignore_index=True)


def shares(scores: Sequence[float], draw: int = 0) -> pd.DataFrame:
    """Continuous scores of AlpacaEval, NaN for an invalid verdict."""
    words = ["invalid" if np.isnan(s) else "tie" if s == 0.5 else "win" if s > 0.5 else "loss" for s in scores]
    return rows(words, scores, FIRST, draw)


def ratings(turns: Sequence[tuple[float, float]], draw: int = 0) -> pd.DataFrame:
    """(rating of turn 1, of turn 2) for each question, NaN for an invalid one."""
    frames = []
    for order, scores in zip(("turn_1", "turn_2"), zip(*turns, strict=True), strict=True):
        words = ["invalid" if np.isnan(score) else "rated" for score in scores]
        frames.append(rows(words, scores, order, draw))
    return pd.concat(frames, ignore_index=True)


def rows(words: Sequence[str], scores: Sequence[float], order: str, draw: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "verdict_set_id": "v",
            "prompt_id": [f"p{i:03d}" for i in range(len(words))],
            "draw": draw,
            "order": order,
            "verdict": list(words),
            "score": list(scores),
            "weight": 1.0,
        }
    )
