"""Style control of Arena-Hard v2.0 (lmarena/arena-hard-auto @ 196f6b8, show_result.py and utils/add_markdown_info.py).

Games are fitted by a logistic regression on one strength, that of the candidate over the baseline, and on how the two
answers differ in length and in headers, lists and bold text; the score is the win rate at no difference.

The release fits the effects of style over all models of its leaderboard together, and sets them to that leaderboard's
mean; here they are the candidate's alone and set to 0, since a verdict set knows no other model. Length is characters
/ 4 in place of tiktoken's tokens, whose files are not at hand offline: it enters as a ratio, (a - b) / (a + b).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MARKS = (
    (r"^#{1,6}\s",),
    (r"^\s*\d+\.\s", r"^\s*[-*+]\s"),
    (r"\*\*[^*\n]+\*\*", r"__[^_\n]+__"),
)
"""Headers, lists, bold text (count_markdown_elements)."""
CODE = re.compile(r"```[^`]*```")
CHARACTERS_PER_TOKEN = 4
REPLICATES = 200
WEAK = 1e4
"""Inverse strength of the penalty: it decides nothing but what separates wins from losses altogether."""
Values = NDArray[np.float64]


def style_controlled(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]], reference: str) -> dict[str, Any]:
    """{value, replicates, n}: the style-controlled win rate in percent, refitted on resampled questions.

    `frame`: the games' rows of verdicts.csv; `rows`: the responses, each with its baseline's answer. Replicate b draws
    the same questions for every sample set over the same questions.
    """
    valid = frame.loc[frame["verdict"] != "invalid"]
    keys = {(row["prompt_id"], row.get("draw", 0)): number for number, row in enumerate(rows)}
    place = np.array([keys[key] for key in zip(valid["prompt_id"], valid["draw"], strict=True)])
    style = features([row["response"] for row in rows], [row["references"][reference] for row in rows])[place]
    won, weight = (valid[name].to_numpy(dtype=np.float64) for name in ("score", "weight"))
    ids, question = np.unique(frame["prompt_id"].to_numpy(dtype=np.str_), return_inverse=True)
    question = question[(frame["verdict"] != "invalid").to_numpy()]
    often = np.random.default_rng(len(ids)).multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=REPLICATES)
    fits = (_fit(style, won, weight * times[question]) for times in often)
    value = _fit(style, won, weight)
    replicates = [None if np.isnan(one) else round(one, 6) for one in fits]
    return {"value": value, "replicates": replicates, "n": len(np.unique(question))}


def features(answers: Sequence[str], baselines: Sequence[str]) -> Values:
    """(answers, 4): differences in length and in density of headers, lists and bold text, each over its spread."""
    ours, theirs = (np.array([_counts(text) for text in texts]) for texts in (answers, baselines))
    length, other = ours[:, :1], theirs[:, :1]
    density, beside = ours[:, 1:] / (length + 1), theirs[:, 1:] / (other + 1)
    found = np.hstack(
        [(length - other) / np.maximum(length + other, 1e-9), (density - beside) / (density + beside + 1)]
    )
    spread = found.std(axis=0, ddof=1) if len(found) > 1 else np.ones(found.shape[1])
    return found / np.where(spread > 0, spread, 1.0)


def _counts(answer: str) -> list[float]:
    """Tokens, headers, lists, bold parts; the last three outside code blocks."""
    text = CODE.sub("", answer)
    marks = [sum(len(re.findall(mark, text, re.MULTILINE)) for mark in kind) for kind in MARKS]
    return [len(answer) / CHARACTERS_PER_TOKEN, *map(float, marks)]


def _fit(style: Values, won: Values, weight: Values) -> float:
    """100 · P(win) at no difference in style; where nothing but wins, or losses, was there, their rate."""
    from sklearn.linear_model import LogisticRegression

    rate = float((won * weight).sum() / weight.sum()) if weight.sum() else float("nan")
    if not 0 < rate < 1:
        return 100 * rate
    labels = np.r_[np.ones(len(won)), np.zeros(len(won))]
    model = LogisticRegression(C=WEAK, max_iter=1000)
    model.fit(np.r_[style, style], labels, sample_weight=np.r_[won * weight, (1 - won) * weight])
    return 100 * float(model.predict_proba(np.zeros((1, style.shape[1])))[0, 1])
