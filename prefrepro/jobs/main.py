"""python -m prefrepro.jobs.main PLAN ID: do one node of the plan that the workflow wrote, and plan nothing.

Refuses a node whose code changed since it was planned. Imports next to nothing at first: most jobs of a machine do no
more than hand over to its worker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import TracebackType

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.jobs.log_lock import hold_output
from prefrepro.jobs.threads import let_waiting_threads_sleep
from prefrepro.jobs.worker.client import hand_over


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m prefrepro.jobs.main",
        description="Do one node of a plan; snakemake -n --printshellcmds lists the commands.",
    )
    parser.add_argument(
        "plan", type=Path, help="results/<scale>/plan.json, as snakemake or prefrepro plan --write made"
    )
    parser.add_argument("id", help="the node's id: its folder's name below results/<scale>/")
    arguments = parser.parse_args()
    let_waiting_threads_sleep()
    from prefrepro.jobs.run import do
    from prefrepro.plan.store import check_code, read_graph

    graph = read_graph(arguments.plan)
    node = graph.node(arguments.id)
    check_code(node)
    try:
        do(graph, node)
    except OSError as error:
        raise UserError(f"{node.id}: {error}") from error


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C is no fault of the job's: no traceback. The exit status stays that of the signal."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


if __name__ == "__main__":
    sys.excepthook = _one_line
    hold_output()
    hand_over()
    exit_on_user_error(_main)
