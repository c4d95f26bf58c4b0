"""prefrepro show: print a finished table."""

from __future__ import annotations

import argparse
import csv

from prefrepro.cli.parser import add_config, plan_of, write_json
from prefrepro.errors import UserError

EXAMPLES = """
prefrepro show rpo/table1
prefrepro show rpo/table1 --json           its cells, as in cells.csv
prefrepro show swepo/table1 scale=pocket
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("table", help="paper/table, such as rpo/table1")
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="the table's cells as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print the table. Raises UserError where it was not made."""
    plan = plan_of(arguments.config)
    path = plan.results / "tables" / f"{arguments.table.replace('/', '_')}.md"
    if not path.is_file():
        known = {f"{node.spec['paper']}/{node.spec['table']}": target for target, node in plan.tables.items()}
        target = known.get(arguments.table)
        hint = f"make it with: snakemake {target}" if target else f"known tables: {', '.join(known)}"
        raise UserError(f"{path} does not exist; {hint}")
    if arguments.json:
        with path.with_suffix(".cells.csv").open(encoding="utf-8", newline="") as file:
            write_json(list(csv.DictReader(file)))
        return
    print(path.read_text(encoding="utf-8"))
    print(f"Files: {path.with_suffix('')}.{{csv,md,tex,html}}  {plan.results}/{{cells,runs,verdicts}}.csv")
