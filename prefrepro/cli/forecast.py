"""prefrepro forecast: jobs, hours, judge calls and USD of tables, before anything starts."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from prefrepro.cli.parser import add_command, parse_config
from prefrepro.inspect.forecast.budget import refuse_over_budget
from prefrepro.inspect.forecast.lines import Forecast, forecast
from prefrepro.inspect.forecast.report import as_json, as_text
from prefrepro.plan.build import make_plan


def add_parser(commands: Any) -> None:
    """Add `forecast` to the subcommands of `prefrepro`."""
    parser = add_command(
        commands,
        "forecast",
        "say jobs, hours, judge calls and USD of tables, before anything starts",
        """
        prefrepro forecast table1
        prefrepro forecast table4 scale=paper judge=openai
        prefrepro forecast tables scale=pocket judge=vllm --json
        """,
    )
    parser.add_argument(
        "words", nargs="*", metavar="TARGET | KEY=VALUE", help="table4 …, default: tables; settings as for --config"
    )
    parser.add_argument("--scale", help="the same as scale=…")
    parser.add_argument("--json", action="store_true", help="every amount as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print the forecast. Raises UserError for unknown targets, and where budget_usd does not suffice."""
    config = parse_config([word for word in arguments.words if "=" in word])
    if arguments.scale:
        config["scale"] = arguments.scale
    plan = make_plan(config)
    targets = [word for word in arguments.words if "=" not in word]
    found = forecast(plan, plan.targets(targets))
    if arguments.json:
        json.dump(as_json(found), sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(as_text(found))
    check_budget(found)


def check_budget(found: Forecast) -> None:
    """Raise UserError where what is still to judge costs more than budget_usd allows."""
    to_do = [job.id for job in found.together.jobs if job.kind == "verdict" and not job.is_done]
    refuse_over_budget(found.forecaster, to_do, [line.target for line in found.lines[:-1]])
