"""python -m prefrepro.studies.theory [KEY=VALUE …]: Swepo's claims, checked; theory/{claims.csv,theory.png}."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import parse_config
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.jobs.record import now, record_files
from prefrepro.plan.build import make_plan
from prefrepro.studies.theory.run import run


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.studies.theory", description=__doc__)
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="what the workflow was given with --config")
    results, started = make_plan(parse_config(parser.parse_args().config)).results, now()
    folder = results / "theory"
    try:
        run(folder)
        record_files(results, "theory", ["theory/claims.csv", "theory/theory.png"], started)
    except OSError as error:
        raise UserError(f"{folder}: {error}") from error


if __name__ == "__main__":
    exit_on_user_error(_main)
