"""How a judge behaved over one verdict set: position bias, ties, invalid verdicts. No win rates here."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from prefrepro.stats.intervals import wilson


def judging_quality(frame: pd.DataFrame) -> dict[str, Any]:
    """One flat row for a verdict set, rows as in verdicts.csv; rates in percent, None where nothing is known.

    `first_shown_pct`: share of the decided verdicts that went to the answer shown first, with Wilson's interval;
    50 is no position bias. `orders_disagree_pct`: of answers judged validly in both orders, those where the orders
    name different winners.
    """
    words = frame["verdict"].to_numpy(dtype=object)
    orders = frame["order"].to_numpy(dtype=object)
    decided = np.isin(words, ["win", "loss"])
    first = (words == "win") == (orders == "candidate_first")
    first_shown, n_decided = int((first & decided).sum()), int(decided.sum())
    low, high = wilson(first_shown, n_decided)[:2] if n_decided else (None, None)
    return {
        "n_prompts": len(set(frame["prompt_id"])),
        "n_verdicts": len(frame),
        "first_shown_pct": _percent(first_shown, n_decided),
        "first_shown_ci_low": None if low is None else 100 * low,
        "first_shown_ci_high": None if high is None else 100 * high,
        "n_decided": n_decided,
        "tie_pct": _percent(int((words == "tie").sum()), len(frame)),
        "invalid_pct": _percent(int((words == "invalid").sum()), len(frame)),
        "orders_disagree_pct": _disagreement(frame),
    }


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _disagreement(frame: pd.DataFrame) -> float | None:
    answers: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for prompt, draw, verdict in zip(frame["prompt_id"], frame["draw"], frame["verdict"], strict=True):
        if verdict in ("win", "loss", "tie"):
            answers[prompt, draw].append(verdict)
    both = [verdicts for verdicts in answers.values() if len(verdicts) == 2]
    return _percent(sum(set(verdicts) == {"win", "loss"} for verdicts in both), len(both))
