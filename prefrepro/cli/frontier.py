"""prefrepro frontier: what each method gains at what distance from its reference."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import add_config, plan_of, recorded

EXAMPLES = """
prefrepro frontier                         results/embedded/frontier/frontier.{csv,md,svg}
prefrepro frontier scale=laptop seeds=3
"""
MORE = "snakemake frontier measures the distances first."
add_arguments = add_config


def run(arguments: argparse.Namespace) -> None:
    """Write the files. Raises UserError."""
    from prefrepro.studies.frontier.run import FILES, write  # matplotlib and scipy: not needed for a help page

    plan = plan_of(arguments.config)
    with recorded(plan.results, "frontier", FILES):
        write(plan)
