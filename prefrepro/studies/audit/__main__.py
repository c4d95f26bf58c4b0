"""python -m prefrepro.studies.audit [KEY=VALUE …]: which printed numbers are possible; audit.{csv,md}."""

from __future__ import annotations

import argparse

from prefrepro.cli.parser import parse_config
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text
from prefrepro.jobs.record import now, record_files
from prefrepro.plan.build import make_plan
from prefrepro.studies.audit.audit import audit, write
from prefrepro.studies.audit.page import page
from prefrepro.studies.audit.printed import read_printed


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefrepro.studies.audit", description=__doc__)
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="what the workflow was given with --config")
    folder = make_plan(parse_config(parser.parse_args().config)).results
    started = now()
    audited = audit(read_printed())
    try:
        write(audited, folder / "audit.csv")
        write_text(folder / "audit.md", page(audited))
        record_files(folder, "audit", ["audit.csv", "audit.md"], started)
    except OSError as error:
        raise UserError(f"{folder}: {error}") from error


if __name__ == "__main__":
    exit_on_user_error(_main)
