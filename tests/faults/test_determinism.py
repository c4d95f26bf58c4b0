"""The same tables, byte for byte: from two fresh checkouts, on one core or two, in another order of jobs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import Checkout, Done
from tiny_world import make_tiny
from torment import digests

Tell = Callable[..., None]
SEED = 5


def fresh(root: Path) -> Checkout:
    root.mkdir()
    checkout = Checkout(root)
    make_tiny(checkout)
    return checkout


def order_of(done: Done) -> list[str]:
    """Ids of the jobs as they were started."""
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"^    wildcards: id=(\S+)$", done.stdout + done.stderr, re.MULTILINE)


@pytest.mark.faults
def test_tables_do_not_depend_on_checkout_cores_or_order(tmp_path: Path, tell: Tell) -> None:
    """Samples, weights and reference log-probs are held equal too, not the tables alone: no tolerance is needed."""
    draw = random.Random(SEED)
    one, other = fresh(tmp_path / "one"), fresh(tmp_path / "other")
    first = order_of(one.snakemake("table1", "--cores", "2"))
    nodes = [node for node in other.nodes() if node["kind"] in ("run", "sample", "verdict")]
    ahead = [f"results/embedded/{node['done']}" for node in draw.sample(nodes, len(nodes) // 2)]
    second = order_of(other.snakemake("table1", "--cores", "1", "--prioritize", *ahead))
    assert sorted(first) == sorted(second) and first != second, "the jobs were not shuffled"
    expected, found = digests(one.results), digests(other.results)
    wrong = sum(found.get(name) != digest for name, digest in expected.items()) + len(found.keys() - expected)
    assert any(name.startswith("tables/") for name in expected) and "cells.csv" in expected
    name = f"other checkout, 1 core for 2, jobs shuffled: files compared of {len(first)} jobs"
    tell(name, len(expected), recovered=len(expected) - wrong, wrong=wrong)
