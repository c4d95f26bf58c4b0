"""python -m prefrepro.forecast [KEY=VALUE …]: every printed table's forecast; results/<scale>/forecast.{csv,md}."""

from __future__ import annotations

import argparse
import sys

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text
from prefrepro.forecast.cli import check_budget
from prefrepro.forecast.lines import forecast
from prefrepro.forecast.report import as_csv, as_markdown, as_text
from prefrepro.plan import make_plan
from prefrepro.stage import parse_config


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.forecast", description=__doc__)
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="what the workflow was given with --config")
    plan = make_plan(parse_config(parser.parse_args().config))
    found = forecast(plan, plan.printed)
    try:
        write_text(plan.results / "forecast.csv", as_csv(found))
        write_text(plan.results / "forecast.md", as_markdown(found))
    except OSError as error:
        raise UserError(f"{plan.results}: {error}") from error
    sys.stdout.write(as_text(found))
    check_budget(found)


if __name__ == "__main__":
    exit_on_user_error(_main)
