"""How a judge behaved over one verdict set: position bias, ties, invalid verdicts. No win rates of methods here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prefrepro.stats.clusters import clustered_mean
from prefrepro.stats.repeats import repeat_quality

Flags = NDArray[np.bool_]
NO_POSITION: dict[str, float | None] = dict.fromkeys(
    ("first_shown_pct", "first_shown_ci_low", "first_shown_ci_high", "first_shown_null_pct", "balanced_win_pct")
)


def judging_quality(frame: pd.DataFrame, repeats: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """One flat row for a verdict set, rows as in verdicts.csv; rates in percent, None where nothing is known.

    `first_shown_pct` and what belongs to it: see `position`, over the decided verdicts. `orders_disagree_pct`: of
    answers judged validly in both orders, those where the orders name different winners. `repeats`: see repeat_quality.
    """
    words = frame["verdict"].to_numpy(dtype=object)
    orders = frame["order"].to_numpy(dtype=object)
    is_first, decided = orders == "candidate_first", np.isin(words, ["win", "loss"])
    placed = decided & np.isin(orders, ["candidate_first", "baseline_first"])  # held-out pairs are shown to nobody
    return {
        "n_prompts": len(set(frame["prompt_id"])),
        "n_verdicts": len(frame),
        **position((words == "win")[placed], is_first[placed], frame["prompt_id"].to_numpy(dtype=object)[placed]),
        "n_decided": int(decided.sum()),
        "tie_pct": _percent(int((words == "tie").sum()), len(frame)),
        "invalid_pct": _percent(int((words == "invalid").sum()), len(frame)),
        "orders_disagree_pct": _disagreement(frame),
        **repeat_quality(frame, repeats),
    }


def position(won: Flags, is_first: Flags, prompts: NDArray[Any]) -> dict[str, float | None]:
    """Position bias over decided verdicts: did the candidate win, was it shown first, of which prompt.

    `first_shown_pct`: share that went to the answer shown first, with its 95 % interval over prompts: two orders or ten
    draws of one prompt are no two prompts. `first_shown_null_pct`: the same of a judge that wins by content alone, at
    this win rate and these orders; 50 where both orders are as frequent. `balanced_win_pct`: the candidate's win rate
    with both places weighing alike; None where it was only ever shown in one.
    """
    if not len(won):
        return dict(NO_POSITION)
    first = won == is_first
    share, low, high = clustered_mean(first, prompts)
    shown, rate = float(is_first.mean()), float(won.mean())
    null = shown * rate + (1 - shown) * (1 - rate)
    balanced = (won[is_first].mean() + won[~is_first].mean()) / 2 if 0 < shown < 1 else None
    found = (share, low, high, null, None if balanced is None else float(balanced))
    return {name: None if one is None else 100 * one for name, one in zip(NO_POSITION, found, strict=True)}


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _disagreement(frame: pd.DataFrame) -> float | None:
    answers: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for prompt, draw, verdict in zip(frame["prompt_id"], frame["draw"], frame["verdict"], strict=True):
        if verdict in ("win", "loss", "tie"):
            answers[prompt, draw].append(verdict)
    both = [verdicts for verdicts in answers.values() if len(verdicts) == 2]
    return _percent(sum(set(verdicts) == {"win", "loss"} for verdicts in both), len(both))
