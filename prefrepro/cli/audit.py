"""prefrepro audit: check which printed numbers are possible, and which claims they bear out."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import add_config, plan_of, recorded
from prefrepro.files import write_text

EXAMPLES = """
prefrepro audit                            results/embedded/audit.{csv,md}, audit_claims.csv
"""
add_arguments = add_config


def run(arguments: argparse.Namespace) -> None:
    """Write audit.csv, audit_claims.csv and audit.md. Raises UserError."""
    from prefrepro.studies.audit import claims
    from prefrepro.studies.audit.audit import audit, write  # pandas: not needed for a help page
    from prefrepro.studies.audit.page import page
    from prefrepro.studies.audit.printed import read_printed

    results = plan_of(arguments.config).results
    with recorded(results, "audit", ["audit.csv", "audit.md", "audit_claims.csv"]):
        printed = read_printed()
        audited, judged = audit(printed), claims.judge(printed, claims.ours_of(results))
        write(audited, results / "audit.csv")
        claims.write(judged, results / "audit_claims.csv")
        write_text(results / "audit.md", page(audited) + "\n" + claims.section(judged))
