"""python -m bench.power: the smallest difference of two accuracies that a paired test of n pairs shows.

McNemar's test of two models on the same n pairs, level 5 %, power 80 % (Connor, Biometrics 43, 1987): with a share ψ of
pairs on which exactly one of them is right, a difference d needs n = (1.96 √ψ + 0.84 √(ψ − d²))² / d² pairs.
"""

from __future__ import annotations

import argparse
import math
from statistics import NormalDist
from typing import Any

from scipy.optimize import brentq

SIZES, SHARES = [250, 500, 600, 1000, 1800], [0.05, 0.1, 0.2, 0.3]
Z_LEVEL, Z_POWER = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.8)


def pairs_for(difference: float, discordant: float) -> float:
    """Pairs that show `difference` where a share `discordant` of them is judged differently; both 0 to 1."""
    root = Z_LEVEL * math.sqrt(discordant) + Z_POWER * math.sqrt(discordant - difference**2)
    return (root / difference) ** 2


def smallest(n: int, discordant: float) -> float:
    """The difference, 0 to 1, that `n` pairs show with a power of 80 %; 1 where no difference is shown."""
    if pairs_for(discordant, discordant) > n:
        return 1.0
    root: Any = brentq(lambda difference: pairs_for(difference, discordant) - n, 1e-6, discordant)
    return float(root)


def table(sizes: list[int], discordant: list[float]) -> str:
    """Markdown: a row per number of pairs, a column per share of discordant pairs; points."""
    lines = ["| held-out pairs | " + " | ".join(f"{100 * share:.0f} % differ" for share in discordant) + " |"]
    lines.append("|---:" * (len(discordant) + 1) + "|")
    for n in sizes:
        cells = [f"{100 * smallest(n, share):.1f}" for share in discordant]
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.power", description="What a paired test shows.")
    parser.add_argument("--pairs", nargs="+", type=int, default=SIZES)
    parser.add_argument("--differ", nargs="+", type=float, default=SHARES)
    given = parser.parse_args()
    print(table(given.pairs, given.differ))


if __name__ == "__main__":
    main()
