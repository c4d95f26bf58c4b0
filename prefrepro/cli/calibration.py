"""prefrepro calibration: the command line, and what the config makes of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prefrepro.cli.parser import add_command, parse_config
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.jobs.record import now, record_files
from prefrepro.plan.build import make_plan


def add_parser(commands: Any) -> None:
    """Add `calibration` to the subcommands of `prefrepro`."""
    examples = """
    prefrepro calibration                              the judges that need no key
    prefrepro calibration judge=openai --first 20      one more, on 20 verdicts of each set: a trial
    """
    add_arguments(add_command(commands, "calibration", "hold judges against published verdicts", examples))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `prefrepro calibration` and `python -m prefrepro.studies.calibration`."""
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="as for snakemake --config; judge= adds a judge")
    parser.add_argument("--first", type=int, metavar="N", help="judge the first N verdicts of each set only: a trial")


def run(arguments: argparse.Namespace) -> None:
    """Judge, measure and write. Raises UserError, also where no judge could judge anything."""
    from prefrepro.studies.calibration.run import BUILT_IN, calibrate  # pandas: not needed for a help page

    plan = make_plan(parse_config(arguments.config))
    folder = Path(plan.config.published) if plan.config.published else ROOT.parent / "shared" / "data"
    started, files = now(), ["calibration.csv", "calibration.md", "calibration_verdicts.csv"]
    named = [plan.config.judge] if plan.config.judge else []
    try:
        calibrate(
            folder,
            plan.results,
            judges=[*BUILT_IN, *named],
            protocol=plan.config.protocol,
            budget_usd=plan.config.budget_usd,
            first=arguments.first,
        )
        record_files(plan.results, "calibration", files, started)
    except OSError as error:
        raise UserError(f"{plan.results}: {error}") from error
