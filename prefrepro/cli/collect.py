"""prefrepro collect: rebuild the four CSVs of a results folder."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import add_config, plan_of

EXAMPLES = """
prefrepro collect                          results/embedded/{cells,runs,verdicts,judging}.csv
prefrepro collect scale=pocket
"""
add_arguments = add_config


def run(arguments: argparse.Namespace) -> None:
    """Write the CSVs. Raises UserError where a job's files cannot be read."""
    from prefrepro.tables.collect import collect  # pandas: not needed for a help page

    collect(plan_of(arguments.config).results)
