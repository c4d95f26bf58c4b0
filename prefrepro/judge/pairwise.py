"""Pairwise judging: which of two answers is better, by the protocol `paper` (compare.py) or `robust`.

Items go in, one row per verdict comes out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.data.template import render_history
from prefrepro.errors import UserError
from prefrepro.judge.asking import Question, ask_until_read, judge_all
from prefrepro.judge.client import JudgeClient, Reply, chat_request
from prefrepro.judge.prompts import NOUNS, compose, prompt_sha256
from prefrepro.specs.evaluation import Evaluation
from prefrepro.specs.judge import JudgeConfig

RATINGS = re.compile(r"\b(?:response|summary) ([12])\b", re.IGNORECASE)
SCORES = {"win": 1.0, "loss": 0.0, "tie": 0.5, "invalid": None}


def clean_response(text: str) -> str:
    """Cut what follows the last . ! or ? (compare.py:92-100); without any, the text stays. For `paper` alone."""
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end >= 0 else text


def parse_paper(reply: str, template: str) -> str | None:
    """ "first" or "second" by the first `response (.)` or `summary (.)`, else None (compare.py:143-152)."""
    found = re.search(rf"{NOUNS[template]} (.)", reply, re.IGNORECASE)
    return {"1": "first", "2": "second"}.get(found.group(1)) if found else None


def parse_robust(reply: str, template: str) -> str | None:
    """ "first", "second" or "tie" where nothing else is said, else None; quotes and full stop may be."""
    found = re.fullmatch(rf"(?:{NOUNS[template]} ([12])|(tie))", reply.strip(" \t\n\"'*.`"), re.IGNORECASE)
    if found is None:
        return None
    return "tie" if found.group(2) else ("first", "second")[int(found.group(1)) - 1]


PARSERS: dict[str, Callable[[str, str], str | None]] = {"paper": parse_paper, "robust": parse_robust}


def verdict_of(choice: str | None, candidate_first: bool) -> str:
    """The judge's choice from the candidate's view: win, loss, tie or invalid."""
    if choice is None:
        return "invalid"
    if choice == "tie":
        return "tie"
    return "win" if (choice == "first") == candidate_first else "loss"


def evaluate(rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]) -> Evaluation:
    """Each response against its row's baseline, draw by draw, with the prompt of `spec["template"]`."""
    if lacking := [row["prompt_id"] for row in rows if "baseline" not in row]:
        raise UserError(f"prompt {lacking[0]} has no baseline, expected one to compare with. Next: sample again.")
    frames = []
    for draw in sorted({row.get("draw", 0) for row in rows}):
        items = [
            {key: row[key] for key in ("prompt_id", "response", "baseline")}
            | {"history": row.get("history") or render_history(row["prompt"])}  # as cut, where the model's was
            for row in rows
            if row.get("draw", 0) == draw
        ]
        frame = judge_items(items, client, protocol=spec["protocol"], template=spec["template"])
        frames.append(frame.assign(draw=draw))
    return Evaluation(pd.concat(frames, ignore_index=True), {})


def judge_items(
    items: Sequence[Mapping[str, str]],
    client: JudgeClient,
    *,
    protocol: str,
    template: str,
    candidate_first: Sequence[bool] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Judge `items` (prompt_id, history, response, baseline), in an order that must not change between runs.

    One row per item (`paper`) or two (`robust`), in the items' order, columns as in verdicts.schema.yaml but
    for the set's id. `candidate_first`, one per item, is the order that `paper` shows the answers in, else
    compare.py's. An invalid reply is asked again `reasks` times, then stands as `invalid`. Raises UserError where the
    judge cannot be reached, the budget is used up, or more than `invalid_limit` of the verdicts are invalid; all
    replies stay cached.
    """
    parse = PARSERS[protocol]

    def ask(question: Question) -> tuple[dict[str, Any], list[Reply]]:
        choice, replies = ask_until_read(client, question.request, lambda text: parse(text, template))
        verdict = verdict_of(choice, question.columns["order"] == "candidate_first")
        return {"verdict": verdict, "score": SCORES[verdict], "weight": 1.0}, replies

    questions = _questions(items, client.config, protocol, template, candidate_first)
    return judge_all(questions, ask, client, protocol, progress)


def paper_order(n: int, seed: int = 0) -> list[bool]:
    """Whether the candidate is Response 1 in each of n comparisons, as the released compare.py (82-90, 114).

    One two-element list is shuffled in place again and again, so each answer depends on all earlier ones and
    every model meets the same sequence. The generator is our own: the global one stays as it was.
    """
    generator = random.Random(seed)
    candidate_here = [True, False]
    order = []
    for _ in range(n):
        generator.shuffle(candidate_here)
        order.append(candidate_here[0])
    return order


def _questions(
    items: Sequence[Mapping[str, str]],
    config: JudgeConfig,
    protocol: str,
    template: str,
    candidate_first: Sequence[bool] | None,
) -> list[Question]:
    if not items:
        raise UserError("found no items to judge, expected at least one.")
    ids = [item["prompt_id"] for item in items]
    if len(set(ids)) != len(ids):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise UserError(f"prompt_id {twice} is there more than once, expected one item per prompt.")
    if candidate_first is None:
        candidate_first = paper_order(len(items))
    orders = [(first,) for first in candidate_first] if protocol == "paper" else [(True, False)] * len(items)
    questions = []
    for item, shown_first in zip(items, orders, strict=True):
        for first in shown_first:
            shown = [item["response"], item["baseline"]]
            if protocol == "paper":
                shown = list(map(clean_response, shown))
            messages = compose(template, protocol, item["history"], *(shown if first else reversed(shown)))
            columns = {
                "prompt_id": item["prompt_id"],
                "draw": 0,
                "order": "candidate_first" if first else "baseline_first",
                "prompt_sha256": prompt_sha256(template, protocol),
            }
            questions.append(Question(chat_request(config, messages), columns))
    return questions
