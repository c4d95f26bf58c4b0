"""Pairs of answers with a published verdict.

A tie, and a pair whose answers read alike once cut as compare.py cuts them, is left out and counted: no judge that must
choose can agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from prefrepro.judge.pairwise import clean_response


class Pair(NamedTuple):
    """One published verdict."""

    prompt_id: str
    """The pair's own: several may share a prompt."""
    history: str
    candidate: str
    baseline: str
    candidate_first: bool
    """The order in which the published judge saw the two."""
    score: float
    """Published share of the candidate, over ½ where it won; never ½."""
    cluster: str = ""
    """Its prompt, where several pairs of the set share one."""
    candidate_name: str = ""
    baseline_name: str = ""
    """Whose answers they are, where that is known."""

    @property
    def group(self) -> str:
        """What intervals take for one observation."""
        return self.cluster or self.prompt_id


class People(NamedTuple):
    """How often a person agrees with the majority of the others: shares, with a 95 % interval over prompts."""

    n: int
    agreement: float
    low: float
    high: float


class PublishedSet(NamedTuple):
    """What one judge, or people, said in public of pairs of answers."""

    name: str
    judge: str
    """A model, "people", or "labels" where one answer is objectively better"""
    template: str
    """The prompt of ours that asks the same: dialogue or summarization."""
    pairs: tuple[Pair, ...]
    n_left_out: int
    """Ties, and answers that read alike."""
    people: People | None = None
    """Where several people judged a pair."""

    @property
    def is_human(self) -> bool:
        return self.judge in ("people", "labels")


def published_set(
    name: str, judge: str, template: str, pairs: Iterable[Pair], n_left_out: int = 0, people: People | None = None
) -> PublishedSet:
    """The pairs that a judge which must choose can agree on; `n_left_out`: those that were no pairs at all."""
    everything = list(pairs)
    kept = [
        pair
        for pair in everything
        if pair.score != 0.5 and clean_response(pair.candidate) != clean_response(pair.baseline)
    ]
    return PublishedSet(name, judge, template, tuple(kept), n_left_out + len(everything) - len(kept), people)
