"""What a node of the plan has to do, counted from its spec and the size of its data; what calls to a judge cost.

`Work` says in which units. Counts are of the first attempt and follow prefrepro/model/batches.py: full batches only,
every response of a group. NaN means unknown, and so is all that follows from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from prefrepro.inspect.forecast.sizes import Size
from prefrepro.plan.nodes import Node
from prefrepro.specs.method import read_method


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one job. Tokens count prompts and responses, as runs.csv does."""

    sequences: float = 0
    """Trained on, or scored or embedded once for all."""
    tokens: float = 0.0
    """Tokens of these sequences."""
    scored_tokens: float = 0.0
    """Through the policy without a backward pass, beside `tokens`: held-out accuracy, rollouts."""
    passes: float = 1.0
    """How often `tokens` go through the policy with a backward pass."""
    sampled_tokens: float = 0.0
    """Generated: answers of a sample set, rollouts of a policy."""
    answers: float = 0
    steps: int | None = None
    """Steps of a training"""


ORDERS = {"paper": 1, "robust": 2}
"""Calls of a pairwise verdict (prefrepro/judge/pairwise.py)."""
CALLS = {"alpaca_eval": 1, "mt_bench": 2, "arena_hard": 2}
"""Calls of one answer: one order; two turns; two games (docs/judging.md#other-benchmarks)."""
CATEGORY = {"hard_prompt": 500 / 750, "creative_writing": 250 / 750}
"""Share of Arena-Hard v2.0's questions that a verdict set of one kind judges"""
MILLION = 1e6
UNKNOWN = Work(sequences=math.nan, tokens=math.nan, sampled_tokens=math.nan, answers=math.nan)


def training_work(node: Node, size: Size) -> Work:
    """The work of SFT, a reward model, an alignment method, or a base model made here."""
    spec, training = node.spec, node.spec["training"]
    rows = size.rows.get(spec["part"])
    if rows is None:
        return UNKNOWN
    needs = {} if node.kind == "base" else read_method(spec["method"]).needs
    rollout = training.get("rollout")
    drawn = "pretrain" if node.kind == "base" else (spec["training"].get("rows") or needs.get("rows", "pairs"))
    is_sampled = bool(rollout) and rollout["responses"] == "policy"
    if is_sampled:
        drawn = "demonstrations"
    responses = min(size.responses, spec.get("k") or size.responses)
    factor = _pairs_of_group(spec["pairs"], responses)
    universe, per_row = {
        "pretrain": (rows, 1),
        "pairs": (rows * factor, 2),
        "balanced": (rows * factor, 2),
        "mixed": (2 * rows * factor, 1),
        "demonstrations": (round(rows * size.unique_share), 1),
        "groups": (rows, responses),
    }[drawn]
    batch = training["batch_size"]
    steps = max(1, math.floor(universe // batch * training["epochs"]))
    steps = steps if training["max_steps"] is None else min(steps, training["max_steps"])
    sequences = steps * batch * per_row * (2 if needs.get("mismatched") else 1)
    tokens, passes, sampled, scored = sequences * size.sequence_tokens, 1.0, 0.0, 0.0
    if is_sampled:
        answer = _answer(training, rollout["max_new_tokens"], size)
        tokens, sampled = sequences * (size.prompt_tokens + answer), sequences * answer
    if needs.get("reference", True) or needs.get("output") == "score":
        every = training["eval_every"]
        evaluations = 0 if every is None else 1 + (steps // every if every else 0)
        scored = evaluations * 2 * size.rows.get("eval", 0) * size.sequence_tokens
    if rollout:  # old log-probs and the reference's, and where the policy answers, the reward model's scores
        scored += tokens * (3 if is_sampled else 2)
        passes = float(rollout["ppo_epochs"])
    return Work(sequences, tokens, scored, passes, sampled, steps=steps)


def _pairs_of_group(selection: str | None, responses: int) -> int:
    """Pairs that a selection makes of a group at most: fewer where scores are equal (prefrepro/data/select.py)."""
    if selection == "best_vs_each":
        return responses - 1
    return math.comb(responses, 2) if selection == "all_pairs" else 1


def _answer(limits: dict[str, Any], max_new_tokens: int | None, size: Size) -> float:
    """Tokens of an answer: the scale's mean, else the most that fit."""
    if size.answer_tokens is not None:
        return size.answer_tokens
    return float(max_new_tokens) if max_new_tokens else limits["max_length"] - size.prompt_tokens


def reference_work(node: Node, size: Size) -> Work:
    """Every response of its parts scored once; of training rows, where it says so, those that some steps read."""
    sequences, read = 0, node.spec.get("read")
    for part in node.spec["parts"]:
        rows = size.rows.get("train" if part == "mismatched" else part, 0 if part in ("eval", "dev") else None)
        if rows is None:
            return UNKNOWN
        own = rows * size.responses
        if read and part not in ("eval", "dev"):
            per_example = {"mixed": 1, "groups": size.responses}.get(read["rows"], 2)
            own = min(own, read["max_steps"] * read["batch_size"] * per_example)
        sequences += own
    return Work(sequences, sequences * size.sequence_tokens)


def preference_work(node: Node, size: Size) -> Work:
    """Every response of a held-out part scored once."""
    rows = size.rows.get(node.spec["part"])
    if rows is None:
        return UNKNOWN
    return Work(rows * size.responses, rows * size.responses * size.sequence_tokens)


def reference_reward_work(node: Node, size: Size) -> Work:
    """Responses of the reference to every unique prompt of train, sampled and then scored by a reward model."""
    spec, train = node.spec, size.rows.get("train")
    if train is None:
        return UNKNOWN
    sequences = round(train * size.unique_share) * spec["samples"]
    answer = _answer(spec, spec["max_new_tokens"], size)
    return Work(sequences, sequences * (size.prompt_tokens + answer), sampled_tokens=sequences * answer)


def embedding_work(node: Node, size: Size) -> Work:
    """Every prompt of train embedded once, or each of its two sides with its response."""
    train = size.rows.get("train")
    if train is None:
        return UNKNOWN
    if node.spec["text"] == "prompt":
        texts = round(train * size.unique_share)
        return Work(texts, texts * size.prompt_tokens)
    return Work(2 * train, 2 * train * size.sequence_tokens)


def sampling_work(node: Node, size: Size, measured_tokens: float | None) -> Work:
    """Answers, one sample row each, and their tokens: as measured, else as the scale says, else the most that fit."""
    sampling, prompts = node.spec["sampling"], size.rows.get("prompts")
    if prompts is None:
        return UNKNOWN
    generations = sampling.get("generations") or [[sampling["temperature"], 1]]
    answers = prompts * sum(draws for _, draws in generations)
    each = measured_tokens
    if each is None:
        each = _answer(sampling, sampling["max_new_tokens"], size) * size.turns
    return Work(answers=answers, sampled_tokens=answers * each)


def device_seconds(work: Work, training: float | None, scoring: float | None, sampling: float | None) -> float:
    """Seconds of a job's work at these tokens per second; NaN where a rate or an amount that it needs is not known."""
    seconds = 0.0
    for tokens, rate in (
        (work.passes * work.tokens, training),
        (work.scored_tokens, scoring),
        (work.sampled_tokens, sampling),
    ):
        if tokens:
            seconds += tokens / (rate or math.nan)
    return seconds


def label_of(spec: dict[str, Any]) -> str:
    """What makes judge calls alike in length: the evaluation, with its template or annotator."""
    more = spec.get("template") or (spec.get("annotator") or "").partition("_")[0]  # weighted_gpt4.1 asks as weighted
    return f"{spec['evaluation']}_{more}" if more else spec["evaluation"]


def calls_of(spec: dict[str, Any], answers: float) -> float:
    """Calls of a verdict node's spec on `answers` sample rows; of a judge's `repeat`, as many as are expected."""
    each = ORDERS[spec["protocol"]] if spec["evaluation"] == "pairwise" else CALLS[spec["evaluation"]]
    answers *= CATEGORY.get(spec.get("category", ""), 1)
    repeat = spec.get("judge", {}).get("repeat") or {"share": 0, "times": 0}
    return each * answers * (1 + repeat["share"] * repeat["times"])


def price_of(judge: dict[str, Any]) -> tuple[float, float] | None:
    """USD per million prompt and completion tokens; None where it is unknown. A local judge without a price is free."""
    price = judge.get("price_usd_per_mtok")
    if price is None:
        return (0.0, 0.0) if judge["kind"] == "local" else None
    return price["input"], price["output"]


def cost_of(judge: dict[str, Any], prompt_tokens: float, completion_tokens: float) -> float:
    """USD; NaN where price or tokens are not known, which is not 0."""
    price = price_of(judge) or (math.nan, math.nan)
    return (price[0] * prompt_tokens + price[1] * completion_tokens) / MILLION if any(price) else 0.0
