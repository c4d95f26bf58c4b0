"""prefrepro theory: check the claims of the Swepo paper numerically."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import add_config, plan_of, recorded

EXAMPLES = """
prefrepro theory                           results/embedded/theory/{claims.csv,theory.png}
"""
add_arguments = add_config


def run(arguments: argparse.Namespace) -> None:
    """Measure, and write claims.csv and theory.png. Raises UserError."""
    from prefrepro.studies.theory.run import check_claims  # torch: not needed for a help page

    results = plan_of(arguments.config).results
    with recorded(results, "theory", ["theory/claims.csv", "theory/theory.png"]):
        check_claims(results / "theory")
