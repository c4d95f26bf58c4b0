"""Which of two responses a judge sees first. Knows nothing of judges or prompts."""

from __future__ import annotations

import random


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
