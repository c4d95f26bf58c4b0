"""prefrepro plan: list the jobs of a table, or of all tables."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

from prefrepro.cli.parser import plan_and_targets, write_json
from prefrepro.inspect.watch.state import is_done
from prefrepro.plan.judges import of_judges
from prefrepro.plan.kinds import VERDICTS
from prefrepro.plan.memory import unfit
from prefrepro.plan.store import write_plan

KINDS = {"runs": ("sft", "run"), "samples": ("sample",), "verdicts": VERDICTS}
"""Key of the JSON -> the kinds of node that it lists"""


def run(arguments: argparse.Namespace) -> None:
    """Print the jobs. Raises UserError for unknown targets."""
    plan, targets = plan_and_targets(arguments)
    nodes = plan.needed_by(targets)
    if arguments.write:
        write_plan(plan)
    if arguments.json:
        listed: dict[str, Any] = {
            name: [{"id": node.id, "inputs": node.inputs, **node.spec} for node in nodes if node.kind in kinds]
            for name, kinds in KINDS.items()
        }
        write_json(listed | {"cells": [cell for target in targets for cell in plan.tables[target].spec["cells"]]})
        return
    for problem in [*unfit(plan, nodes), *of_judges(plan, nodes)]:
        sys.stderr.write(f"warning: {problem}\n")
    new = {node.id for node in nodes if arguments.new and not is_done(plan, node)}
    todo = Counter(node.kind for node in nodes if node.id in new)
    for kind, count in Counter(node.kind for node in nodes).items():
        print(f"{count:4} {kind}" + (f", {todo[kind]} new" if arguments.new else ""))
    for node in nodes:
        print(f"{'new  ' if node.id in new else '     ' if arguments.new else ''}{node.kind:13} {node.id}")
