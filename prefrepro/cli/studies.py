"""The commands that write what is no table: audit, calibration, theory, figures, frontier; and collect, which joins
the CSVs. Each imports its study when it runs: torch, pandas and matplotlib take seconds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prefrepro.cli.parser import plan_of, recorded
from prefrepro.files import ROOT, write_text
from prefrepro.specs.variant import variant_of


def audit(arguments: argparse.Namespace) -> None:
    """Write audit.csv, audit_claims.csv and audit.md. Raises UserError."""
    from prefrepro.studies.audit import audit, claims
    from prefrepro.studies.audit.page import page
    from prefrepro.studies.audit.printed import read_printed

    plan = plan_of(arguments.config)
    results = plan.results
    with recorded(results, "audit", ["audit.csv", "audit.md", "audit_claims.csv"]):
        printed = read_printed()
        audited, judged = audit.audit(printed), claims.judge(printed, claims.ours_of(results, variant_of(plan.config)))
        audit.write(audited, results / "audit.csv")
        claims.write(judged, results / "audit_claims.csv")
        write_text(results / "audit.md", page(audited) + "\n" + claims.section(judged))


def calibration(arguments: argparse.Namespace) -> None:
    """Judge, measure and write. Raises UserError, also where no judge could judge anything."""
    from prefrepro.plan.judges import warning
    from prefrepro.specs.sources import read_named
    from prefrepro.studies.calibration.run import BUILT_IN, FILES, calibrate

    plan = plan_of(arguments.config)
    folder = Path(plan.config.published) if plan.config.published else ROOT.parent / "shared" / "data"
    named = list(dict.fromkeys(filter(None, [plan.config.judge, *(plan.config.beside or [])])))
    for name in named:
        if said := warning(read_named("judges", name, "calibration"), plan.config.ended_judges):
            sys.stderr.write(f"warning: {said}\n")
    with recorded(plan.results, "calibration", list(FILES)):
        calibrate(
            folder,
            plan.results,
            judges=[*BUILT_IN, *named],
            protocol=plan.config.protocol,
            budget_usd=plan.config.budget_usd,
            first=arguments.first,
        )


def collect(arguments: argparse.Namespace) -> None:
    """Write the CSVs. Raises UserError where a job's files cannot be read."""
    from prefrepro.tables.collect import collect

    collect(plan_of(arguments.config).results)


def figures(arguments: argparse.Namespace) -> None:
    """Write the SVG files. Raises UserError."""
    from prefrepro.studies.contrast.run import FILES, draw

    plan = plan_of(arguments.config)
    with recorded(plan.results, "figures_rpo", FILES):
        draw(plan)


def frontier(arguments: argparse.Namespace) -> None:
    """Write frontier.csv, .md and .svg. Raises UserError."""
    from prefrepro.studies.frontier.run import FILES, write

    plan = plan_of(arguments.config)
    with recorded(plan.results, "frontier", FILES):
        write(plan)


def theory(arguments: argparse.Namespace) -> None:
    """Measure, and write claims.csv and theory.png. Raises UserError."""
    from prefrepro.studies.theory.run import check_claims

    results = plan_of(arguments.config).results
    with recorded(results, "theory", ["theory/claims.csv", "theory/theory.png"]):
        check_claims(results / "theory")
