"""prefrepro calibration: compare judges with published verdicts."""

from __future__ import annotations

import argparse
from pathlib import Path

from prefrepro.cli.parser import add_config, plan_of, recorded
from prefrepro.files import ROOT

EXAMPLES = """
prefrepro calibration                              the judges that need no key
prefrepro calibration judge=openai --first 20      one more, on 20 verdicts of each set: a trial
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument("--first", type=int, metavar="N", help="judge the first N verdicts of each set only: a trial")


def run(arguments: argparse.Namespace) -> None:
    """Judge, measure and write. Raises UserError, also where no judge could judge anything."""
    from prefrepro.studies.calibration.run import BUILT_IN, calibrate  # pandas: not needed for a help page

    plan = plan_of(arguments.config)
    folder = Path(plan.config.published) if plan.config.published else ROOT.parent / "shared" / "data"
    named = [plan.config.judge] if plan.config.judge else []
    with recorded(plan.results, "calibration", ["calibration.csv", "calibration.md", "calibration_verdicts.csv"]):
        calibrate(
            folder,
            plan.results,
            judges=[*BUILT_IN, *named],
            protocol=plan.config.protocol,
            budget_usd=plan.config.budget_usd,
            first=arguments.first,
        )
