"""python -m prefrepro.studies.calibration [KEY=VALUE …]: results/<scale>/calibration.csv and .md."""

from __future__ import annotations

import argparse

from prefrepro.cli.calibration import add_arguments, run
from prefrepro.errors import exit_on_user_error


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.studies.calibration", description=__doc__)
    add_arguments(parser)
    run(parser.parse_args())


if __name__ == "__main__":
    exit_on_user_error(_main)
