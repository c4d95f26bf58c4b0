"""python -m bench.frontier --write docs/frontier.md [KEY=VALUE …]: put what `snakemake frontier` made into the page.

The tables stand between the page's marks, the picture beside the page. It computes nothing.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench.page import with_block
from bench.stamp import digest, stamp
from prefrepro.cli.parser import parse_config
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text
from prefrepro.plan.build import make_plan
from prefrepro.plan.frontier import FOLDER, distance_of
from prefrepro.plan.plan import Plan


def digest_of(plan: Plan) -> str:
    """Names the trainings and the way their distance is measured."""
    return digest(node.id for node in distance_of(plan).values())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.frontier", description=__doc__)
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="as for `snakemake frontier --config`")
    parser.add_argument("--write", type=Path, required=True, metavar="PAGE")
    arguments = parser.parse_intermixed_args()
    plan = make_plan(parse_config(arguments.config))
    made = plan.results / FOLDER
    if not (made / "frontier.md").is_file():
        raise UserError(f"{made}/frontier.md is not there. Next: snakemake frontier, with the same --config")
    shutil.copyfile(made / "frontier.svg", arguments.write.with_suffix(".svg"))
    found = stamp("torch", "transformers")
    tables = (made / "frontier.md").read_text(encoding="utf-8").strip()
    page = arguments.write.read_text(encoding="utf-8")
    block = (
        f"<!-- distances: {digest_of(plan)} -->\n`snakemake frontier --config {' '.join(arguments.config)}` at commit "
        f"{found['commit']}, {found['machine']}, {found['versions']}:\n\n{tables}"
    )
    write_text(arguments.write, with_block(page, "frontier", block))


if __name__ == "__main__":
    exit_on_user_error(main)
