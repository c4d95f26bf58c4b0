"""What a job of the DAG runs: look the node up in the plan, do its work.

`python -m prefrepro.<stage> ID [KEY=VALUE …]` takes the config that the workflow was given, plans again (fast, no
torch) and refuses an id that the plan no longer holds, because code or config changed under a running workflow.
Imports next to nothing: most jobs of a machine do no more than hand over to its worker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.jobs.log_lock import hold_output
from prefrepro.jobs.threads import let_waiting_threads_sleep
from prefrepro.jobs.worker.client import hand_over


def parse_config(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE arguments as a mapping."""
    config = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UserError(f'"{pair}" is no KEY=VALUE, such as scale=embedded')
        config[key] = value
    return config


def main(*kinds: str, warm: bool = False) -> None:
    """Command line of a stage that does nodes of these kinds; `warm`: in the workflow's worker, where there is one."""
    hold_output()
    if warm:
        hand_over()
    parser = argparse.ArgumentParser(
        prog=f"python -m prefrepro.{Path(sys.argv[0]).parent.name}",
        description=f"Do one node of the plan ({', '.join(kinds)}); snakemake -n --printshellcmds lists the commands.",
    )
    parser.add_argument("id", help="the node's id: its folder's name below results/<scale>/")
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="what the workflow was given with --config")
    arguments = parser.parse_args()
    let_waiting_threads_sleep()

    def work() -> None:
        from prefrepro.jobs.run import do
        from prefrepro.plan.build import make_plan

        plan = make_plan(parse_config(arguments.config))
        node = plan.node(arguments.id)
        if node.kind not in kinds:
            raise UserError(f"{node.id} is of kind {node.kind}, not {' or '.join(kinds)}")
        try:
            do(plan, node)
        except OSError as error:
            raise UserError(f"{node.id}: {error}") from error

    exit_on_user_error(work)
