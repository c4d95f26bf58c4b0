"""Which counts of n a printed percentage can be: the GRIM test (Brown & Heathers 2017), for rounded and cut numbers.

Exact: in integers, never in floats.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

DENOMINATORS = (256, 512, 800, 805)
"""RPO section 4.1; HALOs' `-mc 512`; AlpacaEval without its last batch of 32 (eval.py:148-156); AlpacaEval whole."""
FEWER = 10
"""So many verdicts fewer than n are tried: AlpacaEval drops what its annotator could not parse."""


class Count(NamedTuple):
    """wins / n prints as the number."""

    wins: float
    """k, or k.5 where ties are halves."""
    n: int
    how: str
    """rounded (half up or to even), or truncated where only that gives the number."""

    def __str__(self) -> str:
        return f"{self.wins:g}/{self.n}" + (" truncated" if self.how == "truncated" else "")


def counts(percent: float, decimals: int, n: int) -> list[Count]:
    """Every k/n and k.5/n that prints as `percent`; whole wins first, rounded before truncated.

    72.26 of 256: 185/256 = 72.265625, which rounds to 72.27; so it is 185 truncated, and nothing else.
    """
    unit = 10**decimals
    printed = round(percent * unit)
    low, high = (Fraction(2 * n * edge, 200 * unit) for edge in (2 * printed - 1, 2 * printed + 2))
    found = []
    for halves in range(math.ceil(low), math.ceil(high)):
        exact = Fraction(100 * unit * halves, 2 * n)
        if abs(exact - printed) <= Fraction(1, 2):
            found.append(Count(halves / 2, n, "rounded"))
        elif math.floor(exact) == printed:
            found.append(Count(halves / 2, n, "truncated"))
    return sorted(found, key=lambda count: (count.wins % 1, count.how))


def fewer(percent: float, decimals: int, n: int) -> list[Count]:
    """The same for up to FEWER verdicts less than n, the largest n first."""
    return [count for less in range(1, FEWER + 1) for count in counts(percent, decimals, n - less)]


def status(percent: float, decimals: int, n: int, may_drop: bool = False) -> str:
    """count: k/n. half: k.5/n only, so ties, or k of 2n. fewer: only of less than n. impossible: none of these.

    `may_drop`: verdicts that could not be parsed leave the denominator, so that `fewer` is an answer.
    """
    found = counts(percent, decimals, n)
    if any(count.wins % 1 == 0 for count in found):
        return "count"
    if found:
        return "half"
    return "fewer" if may_drop and fewer(percent, decimals, n) else "impossible"


def chance(decimals: int, n: int, may_drop: bool = False) -> tuple[float, float]:
    """Share of all printable percentages that are some k/n, and that pass at all: that are not `impossible`."""
    unit = 10**decimals
    found = [status(value / unit, decimals, n, may_drop) for value in range(100 * unit + 1)]
    return found.count("count") / len(found), 1 - found.count("impossible") / len(found)
