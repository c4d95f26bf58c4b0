"""AlpacaEval of one sample set: sample rows in, verdicts and the length-controlled win rate out.

Every draw of a sample set is judged as one evaluation set of the package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.judge.alpaca.client import Route, has_logprobs, raw_text, sent
from prefrepro.judge.alpaca.difficulty import check_canonical, load_gamed
from prefrepro.judge.alpaca.items import Item, read_draws
from prefrepro.judge.alpaca.length_control import REPLICATES, length_controlled
from prefrepro.judge.alpaca.package import annotate, comparisons, open_annotator, quiet, single
from prefrepro.judge.alpaca.shield import shield
from prefrepro.judge.asking import check_finished, out_of_budget, reply_columns
from prefrepro.judge.cache import cache_key
from prefrepro.judge.client import BudgetError, JudgeClient, utc_now
from prefrepro.judge.failures import JudgeStoppedError
from prefrepro.specs.evaluation import Evaluation

DEFAULTS = {
    "annotator": "weighted",
    "reference": "gpt4_turbo",
    "length_controlled": False,
    "difficulty": "published",  # for the 805 instructions of AlpacaEval; "none": for any others
    "gamed": None,  # path of df_gamed.csv; None asks the hub (or its cache) for it
    "empty_response": "refuse",  # "judge": the judge is shown an empty answer, as alpaca_eval does
    "replicates": REPLICATES,
}
"""How AlpacaEval is run where the verdict node's spec does not say."""


def evaluate(rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]) -> Evaluation:
    """Judge `rows` (samples.jsonl) against their reference; one verdict per row, in the rows' order by draw.

    score = the package's preference - 1: the candidate's share, 0 … 1. Metric `lc_wr` where asked for. Raises
    UserError before anything is asked where the rows or the difficulty will not do, and where the judge cannot be
    reached, gives no log-probs to `weighted`, the budget is used up or too many verdicts are invalid.
    """
    how = DEFAULTS | {key: value for key, value in spec.items() if value is not None}
    draws = read_draws(rows, how["reference"], allow_empty=how["empty_response"] == "judge")
    gamed = None
    if how["length_controlled"] and how["difficulty"] == "published":
        check_canonical([item.instruction for item in next(iter(draws.values()))])
        gamed = load_gamed(how["gamed"] and Path(how["gamed"]))
    with tqdm(total=len(rows), desc="judging", unit="verdict", disable=None) as bar, quiet():
        frames = [_judge(draw, items, client, how["annotator"], bar) for draw, items in draws.items()]
    frame = pd.concat(frames, ignore_index=True)
    check_finished(frame, client)
    if not how["length_controlled"]:
        return Evaluation(frame, {})
    return Evaluation(frame, {"lc_wr": _length_controlled(list(draws.values()), frames, gamed, how)})


def verdict_of(preference: float | None) -> tuple[str, float | None]:
    """Verdict and score of the package's preference: 1 reference, 2 candidate, 1.5 a tie (0 in old files)."""
    if preference is None or np.isnan(preference):
        return "invalid", None
    score = 0.5 if preference == 0 else preference - 1
    return ("win" if score > 0.5 else "loss" if score < 0.5 else "tie"), score


def _judge(draw: int, items: Sequence[Item], client: JudgeClient, kind: str, bar: tqdm[Any]) -> pd.DataFrame:
    """The verdict rows of one draw."""
    config = client.config
    annotator = open_annotator(kind, config.model)
    pairs = pd.DataFrame(
        {
            "instruction": [shield(item.instruction) for item in items],
            "output_1": [shield(item.reference) for item in items],
            "output_2": [shield(item.response) for item in items],
        }
    )
    asked = comparisons(annotator, pairs)
    route = Route(client, single(annotator), bar)
    try:
        if kind.startswith("weighted"):
            differing = (one.request for item, one in zip(items, asked, strict=True) if item.response != item.reference)
            _check_logprobs(next(differing, None), route, client)
        preferences = annotate(annotator, pairs, route, config.concurrency)
    except BudgetError as error:
        requests = [sent(comparison.request, config) for comparison in asked]
        raise out_of_budget(error, client, requests) from error
    digest = hashlib.sha256(single(annotator).prompt_template.encode()).hexdigest()
    common = {"draw": draw, "prompt_sha256": digest, "protocol": "paper", "weight": 1.0}
    rows = []
    for item, comparison, preference in zip(items, asked, preferences, strict=True):
        verdict, score = verdict_of(preference)
        replies = route.replies(comparison.request)
        if replies:
            source = reply_columns(replies) | {"raw_reply": raw_text(replies[-1])}
        elif item.response == item.reference:
            # Two answers that are one text are a tie without a question: the address of the one not asked.
            key = cache_key(sent(comparison.request, config), client.identity, 0)
            source = {"judge_asked": config.model, "judge_served": "", "request_sha256": key, "raw_reply": None}
            source |= {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0, "created": None}
        else:
            raise RuntimeError(f"alpaca_eval asked nothing about prompt {item.prompt_id}, or asked otherwise")
        order = "candidate_first" if comparison.candidate_first else "baseline_first"
        about = {"prompt_id": item.prompt_id, "order": order, "verdict": verdict, "score": score}
        rows.append({**common, **about, **source})
    frame = pd.DataFrame(rows)
    # A tie that was not asked for is as old as the set, so that a second, cached judging gives the same file.
    latest = frame["created"].dropna()
    return frame.assign(created=frame["created"].fillna(latest.max() if len(latest) else utc_now()))


def _check_logprobs(request: dict[str, Any] | None, route: Route, client: JudgeClient) -> None:
    """Ask one question, so that a judge without log-probs is found out before the others are paid for."""
    if request is None:
        return
    try:
        route.ask(request)
        replies = route.replies(request)
        said = replies[-1].text
        gives_none = replies[-1].status == "ok" and not any(map(has_logprobs, replies))
    except JudgeStoppedError as error:
        said = str(error.failure)
        gives_none = "logprobs" in said
        if not gives_none:
            raise
    if gives_none:
        raise UserError(
            f'judge "{client.config.name}" ({client.config.model}) gives no log-probs, which the annotator "weighted" '
            f"weighs: {said[:200]!r}. One question was asked. Next: take the annotator fn (tool call) or "
            "ae1 (text), or a judge with log-probs."
        )


def _length_controlled(
    draws: Sequence[Sequence[Item]], frames: Sequence[pd.DataFrame], gamed: pd.DataFrame | None, how: Mapping[str, Any]
) -> dict[str, Any]:
    """The mean over draws, whose replicates share their instructions."""
    fits = []
    for items, frame in zip(draws, frames, strict=True):
        preferences = (frame["score"].astype(float) + 1).to_list()
        lengths = [len(item.reference) for item in items], [len(item.response) for item in items]
        fits.append(length_controlled(preferences, *lengths, range(len(items)), gamed, how["replicates"]))
    about = {"n": len(frames[0]), "draws": len(fits), "difficulty": how["difficulty"]}
    reasons = sorted({fit.reason for fit in fits if fit.value is None})
    if reasons:
        return {**about, "value": None, "replicates": [], "reason": "; ".join(reasons)}
    values = [fit.value for fit in fits if fit.value is not None]
    replicates = np.mean([fit.replicates for fit in fits], axis=0)
    return {**about, "value": float(np.mean(values)), "replicates": [float(value) for value in replicates]}
