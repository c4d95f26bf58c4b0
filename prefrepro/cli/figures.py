"""prefrepro figures: draw RPO's Figures 1 and 2 with a batch of ours."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import add_config, plan_of, recorded

EXAMPLES = """
prefrepro figures                          results/embedded/figures_rpo/{figure1,figure2,embedders}.svg
"""
MORE = "snakemake figures_rpo makes the data and the embeddings first."
add_arguments = add_config


def run(arguments: argparse.Namespace) -> None:
    """Write the SVG files. Raises UserError."""
    from prefrepro.studies.contrast.run import FILES, draw  # torch: not needed for a help page

    plan = plan_of(arguments.config)
    with recorded(plan.results, "figures_rpo", FILES):
        draw(plan)
