"""How often our 95 % intervals cover and our 5 % tests reject, measured on worlds whose truth is known.

`nice python -m bench.interval_coverage [--runs N] [--write docs/statistics.md]` measures every line with the functions
that the cells are made by, and puts the tables between the page's markers. A world: an answer wins where a normal
number, partly its prompt's and partly its own, lies below the training's threshold; the prompt's part is set so that
two trainings' wins on a prompt correlate as told, and the threshold so that a training wins at exactly its rate, which
is normal about the truth, cut symmetrically where it would leave 0..1.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm
from tabulate import tabulate

from prefrepro.stats.intervals import (
    ALPHA,
    Estimates,
    Scores,
    mean_estimates,
    mean_interval,
    refit_estimates,
    score_interval,
    wilson,
)
from prefrepro.stats.paired import compare_estimates, compare_scores, holm, mcnemar_exact, tango
from prefrepro.stats.pairs import all_pairs
from prefrepro.stats.printed import of_counts, of_several
from prefrepro.studies.calibration.measure import kappa

ROWS = 6
"""Rows of a table that are tested against its baseline."""
REFITS = 200
MARKERS = "<!-- measured: {} -->", "<!-- end -->"
Rng = np.random.Generator
Hits = tuple[bool, float | None]
"""Whether an interval covered or a test rejected, and the interval's width."""


@dataclass(frozen=True, slots=True)
class World:
    """A row of a table: how many prompts and trainings, the truth, and the spread between trainings."""

    n: int
    rate: float
    seeds: int = 1
    spread: float = 0.0
    """Standard deviation between trainings, a share of 1."""
    correlation: float = 0.18
    """Of two trainings' wins on one prompt."""
    others: int | None = None
    """Trainings of the row compared with; as many unless given."""

    def rows(self, rng: Rng, *seeds: int) -> list[Scores]:
        """(seeds, n) wins of rows that answer the same prompts, all with the same truth."""
        share = _prompts_share(self.rate, self.correlation)
        prompts = rng.normal(0, share**0.5, self.n)
        most = min(self.rate, 1 - self.rate)
        found = []
        for many in seeds:
            rates = self.rate + np.clip(rng.normal(0, self.spread, (many, 1)), -most, most)
            own = rng.normal(0, (1 - share) ** 0.5, (many, self.n))
            found.append((prompts + own < norm.ppf(rates)).astype(np.float64))
        return found


@functools.cache
def _prompts_share(rate: float, correlation: float) -> float:
    """Share of the normal number's variance that is the prompt's, by the binary correlation that it gives."""
    at = [float(norm.ppf(rate))] * 2

    def gap(share: float) -> float:
        both = multivariate_normal.cdf(at, mean=[0, 0], cov=np.array([[1, share], [share, 1]]))  # pyright: ignore[reportArgumentType]
        return float((both - rate**2) / (rate * (1 - rate)) - correlation)

    root: Any = brentq(gap, 1e-6, 0.999)
    return float(root)


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of a table."""

    what: str
    world: World
    share: float
    """Of the runs: intervals that hold the truth, or tests that reject a true null."""
    width: float | None
    """Median width of the interval, a share of 1."""


def of_wins(rng: Rng, world: World) -> Hits:
    """Wins and losses: Wilson for one seed, two levels for several."""
    return _covers(mean_interval(*world.rows(rng, world.seeds))[:2], world.rate)


def of_halves(rng: Rng, world: World) -> Hits:
    """Two orders per prompt: 1, 0.5 or 0, never wins alone."""
    first, second = world.rows(rng, world.seeds, world.seeds)
    return _covers(mean_interval((first + second) / 2)[:2], world.rate)


def difference(rng: Rng, world: World) -> Hits:
    """Interval of the difference of two rows that are truly equal."""
    found = compare_scores(*_two(rng, world))
    return _covers((found.ci_low, found.ci_high), 0)


def difference_of_halves(rng: Rng, world: World) -> Hits:
    rows = world.rows(rng, *[world.seeds] * 4)
    found = compare_scores((rows[0] + rows[1]) / 2, (rows[2] + rows[3]) / 2)
    return _covers((found.ci_low, found.ci_high), 0)


def rejects(rng: Rng, world: World) -> Hits:
    """p < 0.05 between two rows that are truly equal: McNemar for one seed, two levels for several."""
    return compare_scores(*_two(rng, world)).p < ALPHA, None


def rejects_halves(rng: Rng, world: World) -> Hits:
    rows = world.rows(rng, *[world.seeds] * 4)
    return compare_scores((rows[0] + rows[1]) / 2, (rows[2] + rows[3]) / 2).p < ALPHA, None


def equivalent(rng: Rng, world: World) -> Hits:
    """Two rows 5 points apart are called equivalent at ± 5: the error that two one-sided tests bound by 5 %."""
    (own,) = replace(world, rate=world.rate + 0.05).rows(rng, world.seeds)
    (other,) = world.rows(rng, world.seeds)
    return compare_scores(own, other).equivalence(0.05) == "equivalent", None


def family(rng: Rng, world: World, adjust: Callable = holm) -> Hits:
    """Any Holm-adjusted p < 0.05 in a table whose rows all equal its baseline."""
    baseline, *rows = world.rows(rng, *[world.seeds] * (ROWS + 1))
    return any(p < ALPHA for p in adjust([compare_scores(row, baseline).p for row in rows])), None


def family_unadjusted(rng: Rng, world: World) -> Hits:
    return family(rng, world, adjust=list)


def every_pair(rng: Rng, world: World) -> Hits:
    """All simultaneous intervals of the pairs of six rows hold the truth."""
    pairs = all_pairs([mean_estimates(row) for row in world.rows(rng, *[world.seeds] * ROWS)])
    return all(pair.low <= 0 <= pair.high for pair in pairs), None


def false_differs(rng: Rng, world: World) -> Hits:
    """A perfect replication of one printed training is called different."""
    own, (printed,) = world.rows(rng, world.seeds, 1)
    theirs = float(printed.mean())
    if world.seeds == 1:
        return of_counts(float(own.sum()), theirs, world.n).status == "differs", None
    once = theirs * (1 - theirs) / world.n
    return of_several(mean_estimates(own), theirs, once).status == "differs", None


def length_controlled(rng: Rng, world: World) -> Hits:
    """A win rate at no difference in length, fitted and refitted on resampled prompts."""
    return _covers(score_interval(_fits(rng, world)[0]), world.rate)


def length_controlled_rejects(rng: Rng, world: World) -> Hits:
    own, other = _fits(rng, world, 2)
    return compare_estimates(own, other, world.n).p < ALPHA, None


def shift(rng: Rng, world: World) -> Hits:
    """Win rates of two judges over the same pairs, truly equal."""
    won, published = (row[0] == 1 for row in world.rows(rng, 1, 1))
    counts = int((won & ~published).sum()), int((~won & published).sum())
    return _covers(tango(*counts, world.n), 0)


def shift_rejects(rng: Rng, world: World) -> Hits:
    return mcnemar_exact(*(row[0] == 1 for row in world.rows(rng, 1, 1))) < ALPHA, None


def agreement(rng: Rng, world: World) -> Hits:
    won, published = world.rows(rng, 1, 1)
    truth = 1 - 2 * world.rate * (1 - world.rate) * (1 - world.correlation)
    return _covers(wilson(float((won == published).sum()), world.n)[:2], truth)


def kappas(rng: Rng, world: World) -> Hits:
    """κ of two judges with the same win rate is the correlation of their verdicts."""
    won, published = (row[0] == 1 for row in world.rows(rng, 1, 1))
    found = kappa(won, published)
    return (True, None) if found is None else _covers(found[1:], world.correlation)


def _two(rng: Rng, world: World) -> tuple[Scores, Scores]:
    own, other = world.rows(rng, world.seeds, world.others or world.seeds)
    return own, other


def _fits(rng: Rng, world: World, rows: int = 1) -> list[Estimates]:
    """Rows whose answers win by σ(a + b · tanh(length)), fitted as length_control.py's smaller model is."""
    drawn = np.random.default_rng(world.n).integers(0, world.n, size=(REFITS, world.n))
    ease = rng.random(world.n)
    found = []
    for _ in range(rows):
        length = rng.normal(size=world.n)
        level = np.log(world.rate / (1 - world.rate))
        chance = 1 / (1 + np.exp(-level - np.tanh(length)))
        # The prompt's number decides in part, so that two rows' wins correlate.
        lots = np.where(rng.random(world.n) < world.correlation, ease, rng.random(world.n))
        won = (lots < chance).astype(np.float64)
        values = fit_rate(won[None], length[None])
        found.append(refit_estimates(values, fit_rate(won[drawn], length[drawn])[None]))
    return found


def fit_rate(won: NDArray[np.float64], length: NDArray[np.float64], strength: float = 1e-3) -> NDArray[np.float64]:
    """(fits,) σ(a) of the logistic regressions of won (fits, n) on tanh(length / its deviation) and a constant.

    By Newton's steps, all fits at once; a ridge of `strength` stands for the package's weak L1 penalty.
    """
    x = np.tanh(length / length.std(axis=1, ddof=1, keepdims=True))
    a, b = np.zeros((len(won), 1)), np.zeros((len(won), 1))
    for _ in range(12):
        p = 1 / (1 + np.exp(-(a + b * x)))
        w, rest = p * (1 - p), won - p
        ga, gb = rest.sum(1, keepdims=True) - strength * a, (rest * x).sum(1, keepdims=True) - strength * b
        haa, hab = w.sum(1, keepdims=True) + strength, (w * x).sum(1, keepdims=True)
        hbb = (w * x * x).sum(1, keepdims=True) + strength
        det = haa * hbb - hab**2
        a, b = a + np.clip((hbb * ga - hab * gb) / det, -2, 2), b + np.clip((haa * gb - hab * ga) / det, -2, 2)
    return (1 / (1 + np.exp(-a)))[:, 0]


Simulation = Callable[[Rng, World], Hits]
PHI = (0.18, 0.48)
"""Prompt correlations of published judges."""
_SEEDS = [World(256, 0.7, s, sd, phi) for phi in PHI for s in (2, 3, 5) for sd in (0.0, 0.02, 0.05)]
_ONE = [World(n, p) for n in (256, 805) for p in (0.12, 0.5, 0.7, 0.95, 0.99)]
_PAIRS = [World(n, p, correlation=phi) for phi in PHI for n, p in ((256, 0.7), (805, 0.12), (256, 0.99))]
_EDGE = [World(256, 0.99, s, 0.0, phi) for phi in PHI for s in (2, 3, 5)]
_JUDGES = [World(n, p, correlation=phi) for n in (20, 200) for p in (0.5, 0.8) for phi in (0.18, 0.48, 0.8)]
_LC = [World(n, p) for n in (96, 805) for p in (0.12, 0.5, 0.9)]
Line = tuple[str, Simulation, list[World]]
TABLES: dict[str, list[Line]] = {
    "intervals": [
        ("Wilson, wins", of_wins, _ONE),
        ("Wilson over prompts, both orders", of_halves,
         [World(n, p, correlation=phi) for phi in PHI for n in (80, 256) for p in (0.12, 0.7, 0.99)]),
        ("Wilson, seeds × prompts", of_wins, [*_SEEDS, *_EDGE]),
        ("refits, length-controlled", length_controlled, _LC),
    ],
    "differences": [
        ("Tango", difference, _PAIRS),
        ("t over prompts, both orders", difference_of_halves, _PAIRS),
        ("t, seeds × prompts", difference, [*_SEEDS, *_EDGE]),
        ("all 15 pairs, max-t", every_pair, [World(256, 0.7, correlation=phi) for phi in PHI]),
        ("all 15 pairs, Bonferroni", every_pair, [World(256, 0.7, 3, 0.02, phi) for phi in PHI]),
    ],
    "tests": [
        ("McNemar", rejects, _PAIRS),
        ("t over prompts, both orders", rejects_halves, _PAIRS),
        ("t, seeds × prompts", rejects, [*_SEEDS, *_EDGE]),
        ("3 seeds against 1", rejects,
         [World(256, 0.7, 3, sd, phi, 1) for phi in PHI for sd in (0.0, 0.02, 0.05)]),
        ("t of refits, length-controlled", length_controlled_rejects, [World(96, 0.5), World(805, 0.12)]),
        ("one training each, read as methods", rejects, [World(256, 0.7, 1, sd) for sd in (0.02, 0.05)]),
        ("any of 6, Holm", family, [World(256, 0.7), World(256, 0.7, 3, 0.02)]),
        ("any of 6, unadjusted", family_unadjusted, [World(256, 0.7), World(256, 0.7, 3, 0.02)]),
        ("equivalent, at 5 points apart", equivalent, [World(1200, 0.65), World(1200, 0.65, 3)]),
    ],
    "replication": [
        ("called different", false_differs,
         [World(256, 0.7, s, sd, phi) for phi in PHI for s in (1, 2, 3, 5) for sd in (0.0, 0.02, 0.05)]),
        ("called different", false_differs, [World(800, 0.15), World(256, 0.99)]),
    ],
    "calibration": [
        ("agreement, Wilson", agreement, _JUDGES),
        ("κ", kappas, _JUDGES),
        ("shift, Tango", shift, _JUDGES),
    ],
}  # fmt: skip


def measure(what: str, simulate: Simulation, world: World, runs: int, seed: int = 0) -> Measured:
    """Simulate `runs` times, the same each time; length control at many prompts a quarter as often."""
    rng = np.random.default_rng(seed)
    if "length-controlled" in what and world.n > 200:
        runs = max(runs // 4, 1)
    found = [simulate(rng, world) for _ in range(runs)]
    widths = [width for _, width in found if width is not None]
    return Measured(
        what, world, float(np.mean([hit for hit, _ in found])), float(np.median(widths)) if widths else None
    )


def markdown(lines: list[Measured]) -> str:
    """One table of docs/statistics.md; percent and points."""
    has_width = any(line.width is not None for line in lines)
    head = ["", "n", "rate", "seeds", "spread", "correlation", "measured", *(["median width"] if has_width else [])]
    rows = []
    for line in lines:
        w = line.world
        seeds = f"{w.seeds}, {w.others}" if w.others else w.seeds
        cells = [line.what, w.n, f"{100 * w.rate:g} %", seeds, f"{100 * w.spread:g}", f"{w.correlation:g}"]
        cells.append(f"{100 * line.share:.1f} %")
        if has_width:
            cells.append("" if line.width is None else f"{100 * line.width:.1f}")
        rows.append(cells)
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True)


def put(page: str, name: str, text: str) -> str:
    """The page with the text between the markers of one table."""
    start, end = MARKERS[0].format(name), MARKERS[1]
    block = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    return block.sub(lambda _: f"{start}\n{text}\n{end}", page)


def _precision(runs: int) -> str:
    error = 200 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
    return f"{runs:,} runs a line: a share near 5 or 95 % is known to ± {error:.1f} points (two standard errors)."


def _covers(ends: tuple[float, float], truth: float) -> Hits:
    return ends[0] - 1e-12 <= truth <= ends[1] + 1e-12, ends[1] - ends[0]


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.interval_coverage", description=__doc__)
    parser.add_argument("--runs", type=int, default=4000, help="simulations per line (default: %(default)s)")
    parser.add_argument("--only", choices=list(TABLES), help="one table")
    parser.add_argument("--write", type=Path, help="put the tables between the markers of this page")
    arguments = parser.parse_args()
    for name, of in TABLES.items():
        if arguments.only not in (None, name):
            continue
        lines = [measure(what, run, world, arguments.runs) for what, run, worlds in of for world in worlds]
        text = f"{_precision(arguments.runs)}\n\n{markdown(lines)}"
        sys.stdout.write(f"{name}\n\n{text}\n\n")
        sys.stdout.flush()
        if arguments.write:
            page = arguments.write.read_text(encoding="utf-8")
            arguments.write.write_text(put(page, name, text), encoding="utf-8")


if __name__ == "__main__":
    _main()
