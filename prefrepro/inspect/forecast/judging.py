"""Calls to a judge: how many a verdict set takes, of how many tokens, at what price. Re-asked replies come on top."""

from __future__ import annotations

from typing import Any

ORDERS = {"paper": 1, "robust": 2}
"""Calls of a pairwise verdict (prefrepro/judge/pairwise.py)."""
CALLS = {"alpaca_eval": 1, "mt_bench": 2, "arena_hard": 2}
"""Calls of one answer: one order; two turns; two games (docs/judging.md#other-benchmarks)."""
MILLION = 1e6


def label_of(spec: dict[str, Any]) -> str:
    """What makes judge calls alike in length: the evaluation, with its template or annotator."""
    more = spec.get("template") or spec.get("annotator")
    return f"{spec['evaluation']}_{more}" if more else spec["evaluation"]


def calls_of(spec: dict[str, Any], answers: int) -> int:
    """Calls of a verdict node's spec on `answers` sample rows."""
    each = ORDERS[spec["protocol"]] if spec["evaluation"] == "pairwise" else CALLS[spec["evaluation"]]
    return each * answers


def price_of(judge: dict[str, Any]) -> tuple[float, float] | None:
    """USD per million prompt and completion tokens; None where it is unknown. A local judge without a price is free."""
    price = judge.get("price_usd_per_mtok")
    if price is None:
        return (0.0, 0.0) if judge["kind"] == "local" else None
    return price["input"], price["output"]


def cost_of(judge: dict[str, Any], prompt_tokens: float | None, completion_tokens: float | None) -> float | None:
    """USD; None where price or tokens are not known, which is not 0."""
    price = price_of(judge)
    if price is None:
        return None
    if not any(price):
        return 0.0
    if prompt_tokens is None or completion_tokens is None:
        return None
    return (price[0] * prompt_tokens + price[1] * completion_tokens) / MILLION
