"""prefrepro show-batch: show a run's first batch as the trainer reads it, and what the model is asked."""

from __future__ import annotations

import argparse
import shutil
import sys

from prefrepro.cli.parser import add_config, plan_of, write_json

EXAMPLES = """
prefrepro show-batch rpo/table1/dpo                 the run of a row, or of a cell
prefrepro show-batch dpo_mistral-7b_hh -n 1         by its name or the beginning of its id
prefrepro show-batch sft_ scale=pocket --json       every token, which are predicted, what was cut
"""
MORE = "Wants the run's data and what it starts from, not the run itself."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", help="a training's id or the beginning of one, or paper/table/row[/column]")
    add_config(parser)
    parser.add_argument("-n", type=int, default=3, metavar="N", help="examples to show (default: 3)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print the batch. Raises UserError where its data or tokenizer are not made yet."""
    from prefrepro.inspect.batch import first_batch, training_named  # torch: not needed for a help page
    from prefrepro.inspect.batch_text import as_text

    plan = plan_of(arguments.config)
    batch = first_batch(plan, training_named(plan, arguments.run), max(1, arguments.n))
    if arguments.json:
        write_json(batch)
    else:
        sys.stdout.write(as_text(batch, shutil.get_terminal_size((100, 24)).columns))
