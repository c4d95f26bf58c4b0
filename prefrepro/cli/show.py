"""prefrepro show, explain and show-batch: a finished table, the chain behind a cell, the first batch of a run."""

from __future__ import annotations

import argparse
import csv
import shutil
import sys

from prefrepro.cli.parser import plan_of, results_folder, write_json
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.inspect.explain import explain as explained
from prefrepro.inspect.explain_text import as_text
from prefrepro.inspect.results import open_results
from prefrepro.inspect.table_text import as_text as table_as_text
from prefrepro.plan.build import switches_of
from prefrepro.specs.table import address_of, target_named


def table(arguments: argparse.Namespace) -> None:
    """Print the table. Raises UserError where it was not made."""
    plan = plan_of(arguments.config, arguments.scale)
    address, target = address_of(arguments.table), target_named(arguments.table)
    path = plan.results / "tables" / f"{address.replace('/', '_')}.md"
    chosen = " ".join(plan.config.arguments())
    if not path.is_file():
        plan.table_named(arguments.table)
        also = f" --config {chosen}" if chosen else ""
        raise UserError(f"{path} does not exist; make it with: snakemake {target}{also}")
    if arguments.json:
        with path.with_suffix(".cells.csv").open(encoding="utf-8", newline="") as file:
            write_json(list(csv.DictReader(file)))
        return
    spec = ROOT / "paper_tables" / f"{address}.yaml"
    touching = None if arguments.switches or not spec.is_file() else switches_of(plan, spec)
    more = f"prefrepro show {' '.join(filter(None, [address, chosen]))} --switches"
    width = shutil.get_terminal_size((100, 24)).columns
    sys.stdout.write(table_as_text(path.read_text(encoding="utf-8"), width, touching, more))
    print(f"Files: {path.with_suffix('')}.{{csv,md,tex,html}}\n       {plan.results}/{{cells,runs,verdicts}}.csv")


def explain(arguments: argparse.Namespace) -> None:
    """Print a cell's chain. Raises UserError for a cell that is not there."""
    folder = arguments.results or results_folder(arguments.config, arguments.scale)
    found = explained(open_results(folder), arguments.cell)
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
