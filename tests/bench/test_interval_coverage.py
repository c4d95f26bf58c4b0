"""What docs/statistics.md claims of intervals and tests, on fewer runs: seeded, so always the same."""

from __future__ import annotations

import functools

import pytest

from bench import interval_coverage as coverage
from bench.interval_coverage import Measured, World, measure

RUNS = 200
"""A share of 95 % is measured to ± 3 points; the seed is chosen by nobody: 0."""

CASES = {what: (simulate, worlds) for what, simulate, worlds in coverage.CASES}


@functools.cache
def measured(what: str, world: World) -> Measured:
    assert world in CASES[what][1], "a line of the table in docs/statistics.md"
    return measure(what, CASES[what][0], world, RUNS)


@pytest.mark.parametrize(
    ("what", "world"),
    [
        ("Wilson covers", World(256, 0.7)),
        ("Wilson covers", World(256, 0.95)),
        ("bootstrap by prompt covers", World(80, 0.7)),
        ("bootstrap by prompt covers", World(256, 0.12)),
        ("seeds × prompts covers", World(256, 0.7, 3, 0.0)),
        ("seeds × prompts covers", World(256, 0.7, 3, 0.05)),
        ("seeds × prompts covers", World(256, 0.7, 5, 0.02)),
        ("paired difference covers", World(256, 0.7)),
        ("paired difference covers", World(256, 0.7, 3, 0.05)),
    ],
)
def test_intervals_cover(what: str, world: World) -> None:
    assert measured(what, world).share >= 0.92


def test_two_seeds_are_too_few_and_the_pigeonhole_bootstrap_is_worse() -> None:
    world = World(256, 0.7, 2, 0.05)
    ours, theirs = (measured(f"{kind} covers", world) for kind in ("seeds × prompts", "pigeonhole (not used)"))
    assert 0.87 <= ours.share <= 0.94
    assert theirs.share < ours.share


@pytest.mark.parametrize(
    ("what", "world"),
    [
        ("McNemar rejects", World(256, 0.7)),
        ("seeds × prompts rejects", World(256, 0.7, 3, 0.05)),
        ("any of 6 rejects, Holm", World(256, 0.7)),
    ],
)
def test_tests_hold_their_level(what: str, world: World) -> None:
    assert measured(what, world).share <= 0.075


def test_six_tests_without_holm_do_not() -> None:
    assert measured("any of 6 rejects, unadjusted", World(256, 0.7)).share > 0.12


def test_the_table_is_markdown() -> None:
    lines = coverage.markdown([Measured("Wilson covers", World(256, 0.7), 0.95, 0.111)]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "Wilson covers",
        "256",
        "70 %",
        "1",
        "",
        "95.0 %",
        "11.1",
    ]
