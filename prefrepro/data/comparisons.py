"""What labels say of a row's responses: which of two is the better one, and which of a group are the best.

Knows no model: judge/preference.py holds a model's values against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from prefrepro.data.select import select_pairs

PAIR, TOP_1 = "pair", "top_1"


class Comparison(NamedTuple):
    """Responses of one row, some of which are labelled better than others."""

    prompt_id: str
    draw: int
    """Its number among those of its prompt and kind: rows may share a prompt."""
    order: str
    """pair: one response and another; top_1: the best of a group and all others"""
    row: int
    better: list[int]
    """Places among the row's responses"""
    worse: list[int]


def responses_of(row: dict[str, Any]) -> list[str]:
    """Chosen and rejected, or a group's completions."""
    return row["completions"] if "completions" in row else [row["chosen"], row["rejected"]]


def comparisons(rows: Iterable[dict[str, Any]]) -> tuple[list[Comparison], dict[str, int]]:
    """Every labelled comparison, row by row, and counts: rows, pairs, label_ties, groups_all_best.

    A group's pairs are its `preferences` [[better, worse], …], else those of unequal scores; two responses that no
    label tells apart are a tie, which is left out and counted. A group whose scores are all equal has no best response.
    """
    found, counts, seen = list[Comparison](), Counter(rows=0, pairs=0, label_ties=0, groups_all_best=0), Counter()

    def add(prompt_id: str, order: str, row: int, better: list[int], worse: list[int]) -> None:
        found.append(Comparison(prompt_id, seen[prompt_id, order], order, row, better, worse))
        seen[prompt_id, order] += 1

    for number, row in enumerate(rows):
        scores = row.get("scores", [1, 0])
        pairs = [tuple(pair) for pair in row["preferences"]] if "preferences" in row else None
        pairs = list(select_pairs(scores, "all_pairs", "")) if pairs is None else pairs
        for better, worse in pairs:
            add(row["prompt_id"], PAIR, number, [better], [worse])
        counts.update(rows=1, pairs=len(pairs), label_ties=math.comb(len(scores), 2) - len(pairs))
        if "scores" not in row:
            continue
        best = [place for place, score in enumerate(scores) if score == max(scores)]
        if rest := [place for place in range(len(scores)) if place not in best]:
            add(row["prompt_id"], TOP_1, number, best, rest)
        else:
            counts["groups_all_best"] += 1
    return found, dict(counts)
