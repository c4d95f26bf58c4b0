"""A share of a judging's requests, asked anew: what tells how much the judge varies by itself (docs/statistics.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.judge.client import JudgeClient
from prefrepro.specs.evaluation import Evaluation

Evaluate = Callable[[Sequence[Mapping[str, Any]], JudgeClient, Mapping[str, Any]], Evaluation]
PLACE = ["prompt_id", "draw", "order"]
NAMES = ("verdict", "score", "weight", "request_sha256")


def ask_again(
    evaluate: Evaluate, rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of verdicts.csv for the requests that the judge's `repeat` chooses, each `times` over; else none.

    The whole evaluation runs again for each time, so that every judging repeats alike; all other requests are answered
    by the cache. Raises UserError as `evaluate`, for a used-up budget above all.
    """
    repeat, found = client.config.repeat, []
    for time in range(1, repeat["times"] + 1 if repeat else 1):
        with client.asking_again(time) as keys:
            frame, _ = evaluate(rows, client, {**spec, "length_controlled": False})
        found += [row for row in frame.to_dict("records") if row["request_sha256"] in keys]
    return found


def by_request(first: pd.DataFrame, again: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Place and verdicts of each request that was asked again, in the order asked, the reported one first.

    Two answers that are one text are one request, and stand once.
    """
    found: dict[str, dict[str, Any]] = {}
    for _, rows in pd.concat([first, pd.DataFrame(again)]).groupby(PLACE, sort=False) if again else ():
        replies = rows.to_dict("records")
        if len(replies) > 1:
            lists = {name: [None if pd.isna(one[name]) else one[name] for one in replies] for name in NAMES}
            found.setdefault(replies[0]["request_sha256"], {key: replies[0][key] for key in PLACE} | lists)
    return list(found.values())
