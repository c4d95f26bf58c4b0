"""prefrepro show, explain and show-batch: a finished table, the chain behind a cell, the first batch of a run."""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

from prefrepro.cli.parser import plan_of, write_json
from prefrepro.errors import UserError
from prefrepro.inspect.explain import explain as explained
from prefrepro.inspect.explain_text import as_text
from prefrepro.inspect.results import open_results


def table(arguments: argparse.Namespace) -> None:
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


def explain(arguments: argparse.Namespace) -> None:
    """Print a cell's chain. Raises UserError for a cell that is not there."""
    found = explained(open_results(arguments.results or Path("results", arguments.scale)), arguments.cell)
    if arguments.json:
        write_json(found)
    else:
        sys.stdout.write(as_text(found))


def batch(arguments: argparse.Namespace) -> None:
    """Print the batch. Raises UserError where its data or tokenizer are not made yet."""
    from prefrepro.inspect.batch import first_batch, training_named  # torch
    from prefrepro.inspect.batch_text import as_text

    plan = plan_of(arguments.config)
    found = first_batch(plan, training_named(plan, arguments.run), max(1, arguments.n))
    if arguments.json:
        write_json(found)
    else:
        sys.stdout.write(as_text(found, shutil.get_terminal_size((100, 24)).columns))
