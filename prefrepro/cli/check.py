"""prefrepro check and new-method: hold method files against the contract; write a new one."""

from __future__ import annotations

import argparse
import sys

from prefrepro.cli.parser import tell, write_json
from prefrepro.files import ROOT
from prefrepro.method_tools.check import RULES, check_method
from prefrepro.method_tools.check_loss import WRITTEN
from prefrepro.method_tools.new import new_method
from prefrepro.specs.method import method_names


def run(arguments: argparse.Namespace) -> None:
    """Print a report on each file; exit with 1 where any fails. Raises UserError for a path that is no Python file."""
    files = arguments.files or [ROOT / "methods" / f"{name}.py" for name in method_names()]
    reports = [check_method(file).as_json() for file in files]
    passed = sum(report["ok"] for report in reports)
    if arguments.json:
        write_json(reports)
    else:
        tell(False, {"reports": reports, "passed": passed, "meanings": RULES, "unseen": WRITTEN["unseen"]}, "check")
    if passed < len(reports):
        sys.exit(1)


def new(arguments: argparse.Namespace) -> None:
    """Write the file and print the next steps. Raises UserError for a bad or taken name."""
    print(new_method(arguments.name, arguments.shape))
