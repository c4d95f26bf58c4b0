"""python -m prefrepro.inspect.report [RESULTS] [KEY=VALUE …]: report.html of what a results folder holds."""

from __future__ import annotations

import argparse

from prefrepro.cli.report import add_arguments, run
from prefrepro.errors import exit_on_user_error


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.inspect.report", description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())


if __name__ == "__main__":
    exit_on_user_error(_main)
