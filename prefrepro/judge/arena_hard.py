"""Arena-Hard v0.1 and v2.0 (Li et al., 2024, arXiv:2406.11939; lmarena/arena-hard-auto @ 5300089 and @ 196f6b8).

Each response meets the baseline's twice: the baseline is assistant A in the first game, B in the second. A verdict
«much better» (>>) counts three times, a tie half.

The score is the weighted mean of the candidate's shares, 100 · Σ w·s / Σ w. The release of 2024 fits a Bradley–Terry
model without penalty and predicts the win rate against the baseline. With one baseline all battles of a candidate are
against it (the models are a star graph), so its likelihood Π σ(θ)^{w·s} (1 - σ(θ))^{w·(1-s)} has one free strength θ,
whose derivative Σ w·s - σ(θ) · Σ w is zero at σ(θ) = Σ w·s / Σ w: the predicted win rate is the weighted mean. The
release of 2025 takes that mean. v2.0 has 500 hard prompts and 250 of creative writing, each kind with a baseline of its
own; a verdict set is of one kind, as a score of the release is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.data.arena_hard import BASELINES
from prefrepro.errors import UserError
from prefrepro.judge.arena_style import style_controlled
from prefrepro.judge.asking import Question, ask_until_read, judge_all
from prefrepro.judge.benchmark import JudgePrompt, arena_hard_prompt, canonical_rows, mean_by_question
from prefrepro.judge.client import JudgeClient, Reply, chat_request
from prefrepro.specs.evaluation import Evaluation
from prefrepro.specs.judge import JudgeConfig

MAX_TOKENS = 4096  # judge_config.yaml
MAX_TOKENS_V2 = 16_000  # arena-hard-v2.0.yaml
BASELINE = "gpt-4-0314"  # judge_config.yaml
LABEL = re.compile(r"\[\[([AB<>=]+)\]\]")  # judge_config.yaml, regex_pattern
LABEL_BACKUP = re.compile(r"\[([AB<>=]+)\]")  # arena-hard-v0.1.yaml (2025), regex_patterns
CONTINUE = "continue your judgment and finish by outputting a final verdict label"  # gen_judgment.py (2024)
CLEARLY = 3
"""How often a «much better» counts (show_result.py, WEIGHT)."""
Share = tuple[float, int]
"""(assistant A's share, weight)"""
RATINGS = LABEL
SHARES_2024: dict[str, Share] = {
    "A>>B": (1.0, CLEARLY),
    "A>B": (1.0, 1),
    "A=B": (0.5, 1),
    "B>A": (0.0, 1),
    "B>>A": (0.0, CLEARLY),
}
"""show_result.py (2024); any other label weighs nothing there."""
SHARES_2025: dict[str, Share] = SHARES_2024 | {
    "A<<B": (0.0, CLEARLY),
    "A<B": (0.0, 1),
    "B=A": (0.5, 1),
    "B<A": (1.0, 1),
    "B<<A": (1.0, CLEARLY),
}
"""show_result.py (2025), label_to_score."""


Play = Callable[[JudgeClient, dict[str, Any]], tuple[Share | None, list[Reply]]]


def evaluate(rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]) -> Evaluation:
    """Two rows per prompt and draw, one per game; `arena_hard_pct` with replicates by question.

    `spec`: `reference` (the key of the baseline's answer in a row's `references`, default gpt-4-0314), `verdict_regex`
    ("2024", the default, or "2025"), `judge_prompts` (paths of released judge configs; without any our own wording
    asks), `protocol`, `category`: whose questions of v2.0 are judged, against that category's baseline and read as in
    2025; its set also has `arena_hard_style_pct`. The judge's config holds but for seed and max_tokens, which
    are the release's, none and 4096 (v2.0: 16,000), unless its `limits` say otherwise;
    its temperature, 0, is the config's default. An unreadable game is played again `reasks` times, which neither
    release does: with 0 it is theirs. Under "2025" both games of a response are invalid where one is, and neither
    counts. Raises UserError.
    """
    category = spec.get("category")
    year = str(spec.get("verdict_regex", "2025" if category else "2024"))
    prompt = arena_hard_prompt(spec.get("judge_prompts"), category)
    reference = spec.get("reference") or (BASELINES[category] if category else BASELINE)
    play, config, most = PLAYS[year], client.config, MAX_TOKENS_V2 if category else MAX_TOKENS
    judged = [row for row in canonical_rows(rows) if category is None or row.get("category") == category]
    if not judged:
        raise UserError(
            f"found no question of category {category}, expected Arena-Hard v2.0's. Next: sample its prompts."
        )
    both = ((row, candidate_first) for row in judged for candidate_first in (False, True))
    games = [game(row, candidate_first, prompt, reference, config, most) for row, candidate_first in both]

    def ask(game: Question) -> tuple[dict[str, Any], list[Reply]]:
        share, replies = play(client, game.request)
        return _verdict(share, game.columns["order"] == "candidate_first"), replies

    frame = judge_all(games, ask, client, spec["protocol"])
    if year == "2025":
        frame = _drop_halves(frame)
    score = mean_by_question(frame, scale=100.0)
    metrics = {} if score is None else {"arena_hard_pct": score}
    if category and score is not None:
        metrics["arena_hard_style_pct"] = style_controlled(frame, judged, reference)
    return Evaluation(frame, metrics)


def read_2024(judgment: str) -> Share | None:
    """The verdict, if all [[labels]] are the same one of five; else None."""
    labels = set(LABEL.findall(judgment))
    return SHARES_2024.get(labels.pop()) if len(labels) == 1 else None


def read_2025(judgment: str) -> Share | None:
    """The last [[label]] of the upper-cased judgment, or else its last [label]; None where it is no verdict."""
    shouted = judgment.upper()
    labels = LABEL.findall(shouted) or LABEL_BACKUP.findall(shouted)
    return SHARES_2025.get(labels[-1]) if labels else None


def _play_2024(client: JudgeClient, request: dict[str, Any]) -> tuple[Share | None, list[Reply]]:
    """A judgment without any label is continued once (number_of_judgment_attempts: 2); both parts are read as one."""
    replies: list[Reply] = []
    for repeat in range(client.config.reasks + 1):
        replies.append(client.ask(request, repeat))
        judgment = replies[-1].text
        if replies[-1].status == "ok" and not LABEL.search(judgment):
            if replies[-1].is_cut:
                break
            replies.append(client.ask(continued(request, judgment), repeat))
            judgment += "\n" + replies[-1].text
        if replies[-1].status != "ok":
            break
        if share := read_2024(judgment):
            return share, replies
    return None, replies


def continued(request: dict[str, Any], judgment: str) -> dict[str, Any]:
    """The request that asks a judgment without a label to go on."""
    turns = [{"role": "assistant", "content": judgment}, {"role": "user", "content": CONTINUE}]
    return request | {"messages": [*request["messages"], *turns]}


PLAYS: dict[str, Play] = {
    "2024": _play_2024,
    "2025": lambda client, request: ask_until_read(client, request, read_2025),
}


def game(
    row: Mapping[str, Any], candidate_first: bool, prompt: JudgePrompt, reference: str, config: JudgeConfig, most: int
) -> Question:
    """What is asked in one game. Raises UserError where the row has no such question or baseline."""
    questions = [message["content"] for message in row["prompt"] if message["role"] == "user"]
    if len(questions) != 1:
        raise UserError(f"prompt {row['prompt_id']} has {len(questions)} user turns; Arena-Hard asks one question.")
    references = row.get("references") or {}
    if not isinstance(references.get(reference), str):
        raise UserError(
            f'prompt {row["prompt_id"]} has no answer of the baseline "{reference}"; it has '
            f"{', '.join(references) or 'none'}. Next: name another reference, or build the prompt set with it."
        )
    pair = [row["response"], references[reference]]
    first, second = pair if candidate_first else reversed(pair)
    messages = prompt.messages(QUESTION=questions[0], ANSWER_A=first, ANSWER_B=second)
    columns = {
        "prompt_id": row["prompt_id"],
        "draw": row.get("draw", 0),
        "order": "candidate_first" if candidate_first else "baseline_first",
        "prompt_sha256": prompt.sha256,
    }
    limit = config.limit_of("arena_hard", most)
    return Question(chat_request(config, messages, max_tokens=limit, seed=None), columns)


def _verdict(share: Share | None, candidate_first: bool) -> dict[str, Any]:
    """Verdict, score and weight from the candidate's view."""
    if share is None:
        return {"verdict": "invalid", "score": None, "weight": 1.0}
    of_a, weight = share
    score = of_a if candidate_first else 1 - of_a
    return {"verdict": {1.0: "win", 0.5: "tie", 0.0: "loss"}[score], "score": score, "weight": float(weight)}


def _drop_halves(frame: pd.DataFrame) -> pd.DataFrame:
    """Where one game of a response is invalid, so is the other (show_result.py of 2025, null_indices)."""
    halves = (frame["verdict"] == "invalid").groupby([frame["prompt_id"], frame["draw"]]).transform("any")
    return frame.assign(
        verdict=frame["verdict"].mask(halves, "invalid"),
        score=frame["score"].astype(float).mask(halves),
        weight=frame["weight"].mask(halves, 1.0),
    )
