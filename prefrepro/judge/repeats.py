"""A share of a judging's requests, asked anew: what tells how much the judge varies by itself (docs/statistics.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.judge.client import JudgeClient
from prefrepro.specs.evaluation import Evaluation

Evaluate = Callable[[Sequence[Mapping[str, Any]], JudgeClient, Mapping[str, Any]], Evaluation]
Verdict = dict[str, Any]
"""A row of verdicts.csv"""
PLACE = ("prompt_id", "draw", "order")


def ask_again(
    evaluate: Evaluate, rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]
) -> list[Verdict]:
    """Verdicts, as `evaluate` gives them, on the requests that the judge's `repeat` chooses, `times` over.

    The whole evaluation runs again for each time, so that every judging repeats alike; all other requests are answered
    by the cache. Without `repeat` none. Raises UserError as `evaluate`, for a used-up budget above all.
    """
    repeat, found = client.config.repeat, []
    for time in range(1, repeat.times + 1 if repeat else 1):
        with client.asking_again(time) as keys:
            frame, _ = evaluate(rows, client, {**spec, "length_controlled": False})
        found += [row for row in frame.to_dict("records") if row["request_sha256"] in keys]
    return found


def by_request(first: pd.DataFrame, again: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Of each request that was asked again: its place, and its verdicts in the order asked, the reported one first.

    Two answers that are one text are one request, and stand once.
    """
    later: dict[tuple[Any, ...], list[Verdict]] = {}
    for row in again:
        later.setdefault(tuple(row[key] for key in PLACE), []).append(row)
    found = {}
    for row in first.to_dict("records") if later else ():
        place = tuple(row[key] for key in PLACE)
        if place in later:
            replies = [row, *later[place]]
            lists = {
                name: [None if pd.isna(one[name]) else one[name] for one in replies]
                for name in ("verdict", "score", "weight", "request_sha256")
            }
            found.setdefault(row["request_sha256"], dict(zip(PLACE, place, strict=True)) | lists)
    return list(found.values())
