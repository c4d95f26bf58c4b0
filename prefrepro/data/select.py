"""From groups of K scored responses: fewer of them, or preference pairs (the DPO baselines of Swepo's Appendix D)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations


def draw_responses(available: int, k: int, seed: str) -> list[int]:
    """Places of `k` of a group's responses, in their order; all where there are no more.

    Drawn from `seed`, which should name the prompt: those of a smaller k are among those of a larger one.
    """
    return sorted(random.Random(seed).sample(range(available), available)[:k])


def best_first(scores: Sequence[float]) -> list[int]:
    """Places of a group's responses, the best first; equals keep their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def select_pairs(scores: Sequence[float], selection: str, seed: str) -> Iterator[tuple[int, int]]:
    """(preferred, other) places of one group of scored responses.

    Two responses of equal score make no pair, so a group whose scores are all equal gives none; the first of several
    best (or worst) counts as the best (worst). `best_vs_random` draws from `seed`, which should name the prompt.
    `selection`: one of SELECTIONS in specs/settings.py.
    """
    places = range(len(scores))
    best = max(places, key=lambda place: scores[place])
    below = [place for place in places if scores[place] < scores[best]]
    if not below:
        return
    if selection == "best_vs_worst":
        yield best, min(below, key=lambda place: scores[place])
    elif selection == "best_vs_random":
        yield best, random.Random(seed).choice(below)
    elif selection == "best_vs_each":
        yield from ((best, place) for place in below)
    else:
        yield from ((a, b) for a, b in combinations(best_first(scores), 2) if scores[a] > scores[b])
