"""How often our 95 % intervals cover and our tests reject, measured on worlds whose truth is known.

`python -m bench.interval_coverage [--runs N]` prints the table of docs/statistics.md, with the functions that the
cells are made by. A world: prompt i is won with probability p + ease_i + training_s, ease uniform and the same for
every row and training, training_s normal, cut at 10 points; so p is the truth exactly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from prefrepro.stats.intervals import ALPHA, Interval, Scores, mean_estimates, mean_interval
from prefrepro.stats.paired import compare_scores, holm

DRAWS = 500
"""Resamples of a bootstrap here, to be quick: fewer than a cell has, which covers a little less."""
CUT = 0.1
"""How far a training may lie from the truth."""
ROWS = 6
"""Rows of a table that are tested against its baseline."""


@dataclass(frozen=True, slots=True)
class World:
    """A row of a table: how many prompts and trainings, the truth, and the spread between trainings."""

    n: int
    rate: float
    seeds: int = 1
    spread: float = 0.0
    """Standard deviation between trainings, a share of 1."""

    def ease(self, rng: np.random.Generator) -> Scores:
        """(n,): what makes a prompt easier or harder, for every row and training."""
        half = min(self.rate, 1 - self.rate) - (CUT if self.spread else 0)
        return rng.uniform(-half, half, self.n)

    def wins(self, rng: np.random.Generator, ease: Scores) -> Scores:
        """(seeds, n): 1 where a training's answer won."""
        training = np.clip(rng.normal(0, self.spread, (self.seeds, 1)), -CUT, CUT)
        return (rng.random((self.seeds, self.n)) < self.rate + ease + training).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table."""

    what: str
    world: World
    share: float
    """Of the runs: intervals that hold the truth, or tests that reject a true null."""
    width: float | None
    """Median width of the interval, a share of 1."""


def of_wins(rng: np.random.Generator, world: World) -> tuple[bool, float]:
    """Wins and losses: Wilson for one seed, two levels for several."""
    return _covers(mean_interval(world.wins(rng, world.ease(rng)), DRAWS), world.rate)


def of_halves(rng: np.random.Generator, world: World) -> tuple[bool, float]:
    """Two orders per prompt: 1, 0.5 or 0, never wins alone."""
    ease = world.ease(rng)
    return _covers(mean_interval((world.wins(rng, ease) + world.wins(rng, ease)) / 2, DRAWS), world.rate)


def pigeonhole(rng: np.random.Generator, world: World) -> tuple[bool, float]:
    """What we do not use: seeds resampled with the prompts, percentiles of the mean."""
    replicates = mean_estimates(world.wins(rng, world.ease(rng)), DRAWS).replicates
    drawn = rng.multinomial(world.seeds, np.full(world.seeds, 1 / world.seeds), size=replicates.shape[1])
    low, high = np.quantile((replicates.T * drawn).sum(axis=1) / world.seeds, [ALPHA / 2, 1 - ALPHA / 2])
    return _covers(Interval(low, high, ""), world.rate)


def difference(rng: np.random.Generator, world: World) -> tuple[bool, float]:
    """Interval of the difference of two rows that are truly equal."""
    ease = world.ease(rng)
    found = compare_scores(world.wins(rng, ease), world.wins(rng, ease), DRAWS)
    return _covers(Interval(found.ci_low, found.ci_high, ""), 0)


def rejects(rng: np.random.Generator, world: World) -> tuple[bool, None]:
    """p < 0.05 between two rows that are truly equal: McNemar for one seed, two levels for several."""
    ease = world.ease(rng)
    return compare_scores(world.wins(rng, ease), world.wins(rng, ease), DRAWS).p < ALPHA, None


def family(rng: np.random.Generator, world: World, adjust: Callable = holm) -> tuple[bool, None]:
    """Any Holm-adjusted p < 0.05 in a table whose rows all equal its baseline."""
    ease = world.ease(rng)
    baseline = world.wins(rng, ease)
    p_values = [compare_scores(world.wins(rng, ease), baseline, DRAWS).p for _ in range(ROWS)]
    return any(p < ALPHA for p in adjust(p_values)), None


def family_unadjusted(rng: np.random.Generator, world: World) -> tuple[bool, None]:
    return family(rng, world, adjust=list)


Simulation = Callable[[np.random.Generator, World], tuple[bool, float | None]]

_TRAININGS = [World(256, 0.7, seeds, spread) for seeds in (2, 3, 5) for spread in (0.0, 0.02, 0.05)]
CASES: list[tuple[str, Simulation, list[World]]] = [
    ("Wilson covers", of_wins, [World(n, p) for n in (256, 805) for p in (0.12, 0.5, 0.7, 0.95)]),
    ("bootstrap by prompt covers", of_halves, [World(n, p) for n in (80, 256, 805) for p in (0.12, 0.7)]),
    ("seeds × prompts covers", of_wins, [*_TRAININGS, World(805, 0.7, 3, 0.02), World(80, 0.7, 3, 0.02)]),
    ("pigeonhole (not used) covers", pigeonhole, _TRAININGS),
    ("paired difference covers", difference, [World(256, 0.7), World(805, 0.12), *_TRAININGS[3:]]),
    ("McNemar rejects", rejects, [World(256, 0.7), World(805, 0.12)]),
    ("seeds × prompts rejects", rejects, _TRAININGS[3:]),
    ("any of 6 rejects, Holm", family, [World(256, 0.7), World(256, 0.7, 3, 0.02)]),
    ("any of 6 rejects, unadjusted", family_unadjusted, [World(256, 0.7), World(256, 0.7, 3, 0.02)]),
]


def measure(what: str, simulate: Simulation, world: World, runs: int, seed: int = 0) -> Measured:
    """Simulate `runs` times, the same each time."""
    rng = np.random.default_rng(seed)
    found = [simulate(rng, world) for _ in range(runs)]
    widths = [width for _, width in found if width is not None]
    return Measured(
        what, world, float(np.mean([hit for hit, _ in found])), float(np.median(widths)) if widths else None
    )


def markdown(lines: list[Measured]) -> str:
    """The table of docs/statistics.md; percent and points."""
    head = ["", "n", "rate", "seeds", "spread", "measured", "median width"]
    rows = [
        [one.what, w.n, f"{100 * w.rate:.0f} %", w.seeds, f"{100 * w.spread:.0f}" if w.seeds > 1 else "",
         f"{100 * one.share:.1f} %", "" if one.width is None else f"{100 * one.width:.1f}"]
        for one in lines for w in [one.world]
    ]  # fmt: skip
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)


def _covers(found: Interval, truth: float) -> tuple[bool, float]:
    return found.low <= truth <= found.high, found.high - found.low


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.interval_coverage", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulations per line (default: %(default)s)")
    runs = parser.parse_args().runs
    lines = [measure(what, simulate, world, runs) for what, simulate, worlds in CASES for world in worlds]
    sys.stdout.write(markdown(lines) + "\n")


if __name__ == "__main__":
    _main()
