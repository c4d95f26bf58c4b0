"""prefrepro check: check method files against the contract."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prefrepro.cli.parser import write_json
from prefrepro.files import ROOT
from prefrepro.specs.method import method_names

if TYPE_CHECKING:
    from prefrepro.method_tools.check import Report

EXAMPLES = """
prefrepro check                            every method
prefrepro check methods/dpo.py --json      one, for a program; exit code 1 where it fails
"""
SHOWN = 2
"""Problems of one rule that are printed: a loss that is NaN is NaN on every batch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="methods/x.py; default: all of methods/")
    parser.add_argument("--json", action="store_true", help="every rule and problem as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print a report on each file; exit with 1 where any fails. Raises UserError for a path that is no Python file."""
    from prefrepro.method_tools.check import check_method  # torch: not needed for a help page

    files = arguments.files or [ROOT / "methods" / f"{name}.py" for name in method_names()]
    reports = [check_method(file) for file in files]
    passed = sum(report.is_ok for report in reports)
    if arguments.json:
        write_json([report.as_json() for report in reports])
    else:
        for report in reports:
            _print(report, with_rules=len(reports) == 1 or not report.is_ok)
        print(f"{passed} of {len(reports)} meet the contract (methods/contract.py).")
    if passed < len(reports):
        sys.exit(1)


def _print(report: Report, with_rules: bool) -> None:
    from prefrepro.method_tools.check import RULES

    print(f"{'ok' if report.is_ok else 'FAILS':5} {report.file}")
    for rule, meaning in RULES.items() if with_rules else ():
        status = report.status(rule)
        print(f"      {'FAILS' if status == 'fails' else status:11} {rule:13} {meaning}")
        problems = [problem for problem in report.problems if problem.rule == rule]
        for problem in problems[:SHOWN]:
            print(f"          found     {problem.found}\n          expected  {problem.expected}")
            print(f"          where     {problem.where}\n          next      {problem.next_step}")
        if len(problems) > SHOWN:
            print(f"          … and {len(problems) - SHOWN} more of this rule: --json lists them")
