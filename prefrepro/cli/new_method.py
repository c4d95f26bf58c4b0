"""prefrepro new-method: write a working method file for you to change."""

from __future__ import annotations

import argparse

from prefrepro.method_tools.new import SHAPES, new_method

EXAMPLES = """
prefrepro new-method my_dpo --shape paired       methods/my_dpo.py
prefrepro new-method my_swepo --shape ranked
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", help="in snake_case: the file's name, and the method's name in a table's row")
    parser.add_argument("--shape", choices=SHAPES, required=True, help="what its loss receives")


def run(arguments: argparse.Namespace) -> None:
    """Write the file and print the next steps. Raises UserError for a bad or taken name."""
    print(new_method(arguments.name, arguments.shape))
