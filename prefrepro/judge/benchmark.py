"""What MT-Bench and Arena-Hard share: samples in canonical order, and means that are bootstrapped by question."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prefrepro.errors import UserError

DRAWS = 4000
"""Resamples, as in stats.intervals."""
DIGITS = 6


def canonical_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sample rows by prompt and draw, so that no result depends on their order. Raises UserError for a double one."""
    if not rows:
        raise UserError("found no samples to judge, expected at least one. Next: sample again.")
    ordered = sorted(rows, key=_key)
    for one, other in itertools.pairwise(ordered):
        if _key(one) == _key(other):
            raise UserError(
                f"prompt {one['prompt_id']}, draw {one.get('draw', 0)} is there more than once, expected one response "
                "per prompt and draw. Next: sample again."
            )
    return ordered


def mean_by_question(frame: pd.DataFrame, scale: float = 1.0) -> dict[str, Any] | None:
    """Weighted mean of the valid scores, times `scale`, and the same over resampled questions.

    Of a question all games, turns and draws are drawn together: they are answers to one question, not independent
    ones (the released Arena-Hard draws single games, which makes its intervals too narrow). Replicate b draws the same
    questions for every sample set over the same questions, because only their number seeds it; a replicate without any
    valid score is None. `n` counts the questions with a valid score. None where there is no valid score at all.
    """
    score, weight = (np.asarray(frame[name], dtype=np.float64) for name in ("score", "weight"))
    weight = np.where(np.isnan(score), 0.0, weight)
    ids, place = np.unique(np.asarray(frame["prompt_id"], dtype=np.str_), return_inverse=True)
    questions = len(ids)
    scores = np.bincount(place, np.nan_to_num(score) * weight, minlength=questions)
    weights = np.bincount(place, weight, minlength=questions)
    if not weights.sum():
        return None
    often = np.random.default_rng(questions).multinomial(questions, np.full(questions, 1 / questions), size=DRAWS)
    drawn = zip((often @ scores).tolist(), (often @ weights).tolist(), strict=True)
    return {
        "value": float(scale * scores.sum() / weights.sum()),
        "replicates": [round(scale * total / of, DIGITS) if of else None for total, of in drawn],
        "n": int(np.count_nonzero(weights)),
    }


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["prompt_id"], row.get("draw", 0)
