"""What a node of the plan has to do, counted from its spec and the size of its data; `Work` says in which units.

Counts are of the first attempt and follow prefrepro/model/batches.py: full batches only, every response of a group.
None means unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from prefrepro.inspect.forecast.sizes import Size
from prefrepro.plan.nodes import Node
from prefrepro.specs.method import read_method


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one job. Tokens count prompts and responses, as runs.csv does."""

    sequences: int | None = 0
    """Trained on, or scored or embedded once for all."""
    tokens: float | None = 0.0
    """Tokens of these sequences."""
    scored_tokens: float | None = 0.0
    """Through the policy without a backward pass, beside `tokens`: held-out accuracy, rollouts."""
    passes: float = 1.0
    """How often `tokens` go through the policy with a backward pass."""
    sampled_tokens: float | None = 0.0
    """Generated: answers of a sample set, rollouts of a policy."""
    answers: int | None = 0
    steps: int | None = None
    """Steps of a training"""


def training_work(node: Node, size: Size) -> Work:
    """The work of SFT, a reward model, an alignment method, or a base model made here."""
    spec, training = node.spec, node.spec["training"]
    rows = size.rows.get(spec["part"])
    if rows is None:
        return Work(sequences=None, tokens=None)
    needs = {} if node.kind == "base" else read_method(spec["method"]).needs
    rollout = training.get("rollout")
    drawn = "pretrain" if node.kind == "base" else (spec["training"].get("rows") or needs.get("rows", "pairs"))
    is_sampled = bool(rollout) and rollout["responses"] == "policy"
    if is_sampled:
        drawn = "demonstrations"
    factor = _pairs_of_group(spec["pairs"], size.responses)
    universe, per_row = {
        "pretrain": (rows, 1),
        "pairs": (rows * factor, 2),
        "balanced": (rows * factor, 2),
        "mixed": (2 * rows * factor, 1),
        "demonstrations": (round(rows * size.unique_share), 1),
        "groups": (rows, size.responses),
    }[drawn]
    batch = training["batch_size"]
    steps = max(1, math.floor(universe // batch * training["epochs"]))
    steps = steps if training["max_steps"] is None else min(steps, training["max_steps"])
    sequences = steps * batch * per_row * (2 if needs.get("mismatched") else 1)
    answer = _answer(training, rollout["max_new_tokens"], size) if is_sampled else None
    tokens = _times(sequences, _with_answer(size, answer) if is_sampled else size.sequence_tokens)
    scored = None if tokens is None else 0.0
    if needs.get("reference", True) or needs.get("output") == "score":
        evaluations = 1 + (steps // training["eval_every"] if training["eval_every"] else 0)
        scored = _times(evaluations * 2 * size.rows.get("eval", 0), size.sequence_tokens)
    work = Work(sequences=sequences, tokens=tokens, scored_tokens=scored, steps=steps)
    if not rollout or tokens is None or scored is None:
        return work
    # Old log-probs and the reference's, and where the policy answers, the reward model's scores.
    return replace(
        work,
        scored_tokens=scored + tokens * (3 if is_sampled else 2),
        passes=float(rollout["ppo_epochs"]),
        sampled_tokens=_times(sequences, answer) if is_sampled else 0.0,
    )


def _pairs_of_group(selection: str | None, responses: int) -> int:
    """Pairs that a selection makes of a group at most: fewer where scores are equal (prefrepro/data/select.py)."""
    if selection == "best_vs_each":
        return responses - 1
    return math.comb(responses, 2) if selection == "all_pairs" else 1


def _with_answer(size: Size, answer: float | None) -> float | None:
    return None if answer is None or size.prompt_tokens is None else size.prompt_tokens + answer


def _answer(limits: dict[str, Any], max_new_tokens: int | None, size: Size) -> float | None:
    """Tokens of an answer: the scale's mean, else the most that fit."""
    if size.answer_tokens is not None:
        return size.answer_tokens
    if max_new_tokens:
        return float(max_new_tokens)
    return None if size.prompt_tokens is None else limits["max_length"] - size.prompt_tokens


def _times(count: int | None, each: float | None) -> float | None:
    return None if count is None or each is None else count * each


def reference_work(node: Node, size: Size) -> Work:
    """Every response of train and eval scored once, and the mismatched ones where a method wants them."""
    train, held_out = size.rows.get("train"), size.rows.get("eval", 0)
    if train is None:
        return Work(sequences=None, tokens=None)
    sequences = (train * (2 if node.spec["mismatched"] else 1) + held_out) * size.responses
    return Work(sequences=sequences, tokens=_times(sequences, size.sequence_tokens))


def reference_reward_work(node: Node, size: Size) -> Work:
    """Responses of the reference to every unique prompt of train, sampled and then scored by a reward model."""
    spec, train = node.spec, size.rows.get("train")
    if train is None:
        return Work(sequences=None, tokens=None)
    sequences = round(train * size.unique_share) * spec["samples"]
    answer = _answer(spec, spec["max_new_tokens"], size)
    tokens = _times(sequences, _with_answer(size, answer))
    return Work(sequences=sequences, tokens=tokens, sampled_tokens=_times(sequences, answer))


def embedding_work(node: Node, size: Size) -> Work:
    """Every prompt of train embedded once, or each of its two sides with its response."""
    train = size.rows.get("train")
    if train is None:
        return Work(sequences=None, tokens=None)
    if node.spec["text"] == "prompt":
        texts = round(train * size.unique_share)
        return Work(sequences=texts, tokens=_times(texts, size.prompt_tokens))
    return Work(sequences=2 * train, tokens=_times(2 * train, size.sequence_tokens))


def sampling_work(node: Node, size: Size, measured_tokens: float | None) -> Work:
    """Answers, one sample row each, and their tokens: as measured, else as the scale says, else the most that fit."""
    sampling, prompts = node.spec["sampling"], size.rows.get("prompts")
    if prompts is None:
        return Work(answers=None, sampled_tokens=None)
    generations = sampling.get("generations") or [[sampling["temperature"], 1]]
    answers = prompts * sum(draws for _, draws in generations)
    each = measured_tokens
    if each is None:
        one = _answer(sampling, sampling["max_new_tokens"], size)
        each = None if one is None else one * size.turns
    return Work(answers=answers, sampled_tokens=_times(answers, each))


def device_seconds(work: Work, training: float | None, scoring: float | None, sampling: float | None) -> float | None:
    """Seconds of a job's work at these tokens per second; None where a rate or an amount that it needs is not known."""
    seconds = 0.0
    for tokens, rate, passes in (
        (work.tokens, training, work.passes),
        (work.scored_tokens, scoring, 1.0),
        (work.sampled_tokens, sampling, 1.0),
    ):
        if tokens is None or (tokens and rate is None):
            return None
        seconds += passes * tokens / rate if tokens and rate else 0.0
    return seconds
