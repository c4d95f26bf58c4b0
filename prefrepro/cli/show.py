"""prefrepro show, explain and show-batch: a finished table, the chain behind a cell, the first batch of a run."""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

from prefrepro.cli.parser import parse_config, plan_of, results_folder, write_json
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.inspect.explain import explain as explained
from prefrepro.inspect.explain_text import as_text
from prefrepro.inspect.results import open_results, read_cells
from prefrepro.inspect.table_text import as_text as table_as_text
from prefrepro.plan.build import switches_of
from prefrepro.plan.plan import Plan
from prefrepro.specs.config import make_config
from prefrepro.specs.table import address_of, target_named
from prefrepro.specs.variant import DEFAULT, table_name, variant_of


def table(arguments: argparse.Namespace) -> None:
    """Print the table. Raises UserError where it was not made."""
    plan = plan_of(arguments.config, arguments.scale)
    address, target = address_of(arguments.table), target_named(arguments.table)
    path = _page(plan, address)
    chosen = " ".join(plan.config.arguments())
    if not path.is_file():
        plan.table_named(arguments.table)
        also = f" --config {chosen}" if chosen else ""
        others = [f"  {other}" for other in _variants(path.parent, address)]
        made = "\n".join(["\nMade with other settings, which prefrepro show takes too:", *others]) if others else ""
        raise UserError(f"{path} does not exist; make it with: snakemake {target}{also}{made}")
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


def _page(plan: Plan, address: str) -> Path:
    """A table's page: with the plan's settings or, where these are the default ones, its only one."""
    paper, _, name = address.partition("/")
    chosen = {"paper": paper, "table": name, "variant": variant_of(plan.config)}
    page = plan.results / "tables" / f"{table_name(chosen)}.md"
    others = list(page.parent.glob(f"{paper}_{name}__*.md"))
    return others[0] if chosen["variant"] == DEFAULT and len(others) == 1 and not page.is_file() else page


def _variants(tables: Path, address: str) -> list[str]:
    """The settings of a table's variants that are made."""
    paths = sorted(tables.glob(f"{address.replace('/', '_')}__*.cells.csv"))
    return [str(cells[0].get("variant")) for path in paths if (cells := read_cells(path))]


def explain(arguments: argparse.Namespace) -> None:
    """Print a cell's chain. Raises UserError for a cell that is not there."""
    folder = arguments.results or results_folder(arguments.config, arguments.scale)
    settings = make_config(parse_config(arguments.config) | ({"scale": arguments.scale} if arguments.scale else {}))
    found = explained(open_results(folder), arguments.cell, variant_of(settings))
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
