"""python -m prefrepro.inspect.forecast [KEY=VALUE …]: every printed table's forecast; forecast.{csv,md}."""

from __future__ import annotations

import argparse
import sys

from prefrepro.cli.forecast import check_budget
from prefrepro.cli.parser import parse_config
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text
from prefrepro.inspect.forecast.lines import forecast
from prefrepro.inspect.forecast.report import as_csv, as_markdown, as_text
from prefrepro.plan.build import make_plan


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.inspect.forecast", description=__doc__)
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
