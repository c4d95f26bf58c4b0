"""prefrepro forecast: forecast jobs, hours, judge calls and USD of tables before anything starts."""

from __future__ import annotations

import argparse
import sys

from prefrepro.cli.parser import plan_and_targets, write_json
from prefrepro.errors import UserError
from prefrepro.files import write_text
from prefrepro.inspect.forecast.budget import refuse_over_budget
from prefrepro.inspect.forecast.lines import Forecast, forecast
from prefrepro.inspect.forecast.report import as_csv, as_json, as_markdown, as_text
from prefrepro.plan.memory import memory_lines


def run(arguments: argparse.Namespace) -> None:
    """Print the forecast. Raises UserError for unknown targets, and where budget_usd does not suffice."""
    plan, targets = plan_and_targets(arguments)
    if arguments.memory:
        sys.stdout.write("\n".join(memory_lines(plan, plan.needed_by(targets))) + "\n")
        return
    found = forecast(plan, targets)
    if arguments.write:
        try:
            write_text(plan.results / "forecast.csv", as_csv(found))
            write_text(plan.results / "forecast.md", as_markdown(found))
        except OSError as error:
            raise UserError(f"{plan.results}: {error}") from error
    if arguments.json:
        write_json(as_json(found))
    else:
        sys.stdout.write(as_text(found))
    check_budget(found)


def check_budget(found: Forecast) -> None:
    """Raise UserError where the judging that is left costs more than budget_usd allows."""
    to_do = [job.id for job in found.together.jobs if job.kind == "verdict" and not job.is_done]
    refuse_over_budget(found.forecaster, to_do, [line.target for line in found.lines[:-1]])
