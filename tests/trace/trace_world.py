"""A small real results folder: two rows of table 1 on two seeds in the tiny world, by the jobs themselves."""

from __future__ import annotations

import json
from typing import Any

import yaml
from checkout import Checkout
from tiny_world import make_tiny

ROWS = ("dpo", "rpo-paired")
CONFIG = {"seeds": 2}
MAKE = """
import json, sys
from prefrepro.plan.build import make_plan
from prefrepro.jobs.run import do
plan = make_plan(json.loads(sys.argv[1]))
for node in plan.needed_by(sys.argv[2:]):
    if node.kind == "table" or not (plan.results / node.done).is_file():
        do(plan, node)
"""


def make_world(checkout: Checkout) -> None:
    """Two rows, and everything that they need."""
    make_tiny(checkout)
    path = checkout.root / "paper_tables/rpo/table1.yaml"
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    table["rows"] = {row: table["rows"][row] for row in ROWS}
    checkout.write_yaml("paper_tables/rpo/table1.yaml", table)
    make_table(checkout, CONFIG)


def make_table(checkout: Checkout, config: dict[str, Any], target: str = "table1") -> None:
    """What Snakemake would run for a table, in one process."""
    done = checkout.python("-c", MAKE, json.dumps(config), target)
    assert done.returncode == 0, done.stderr
