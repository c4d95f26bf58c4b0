"""prefrepro push: a finished run's model to the hub, or a list of what would go there."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from prefrepro.cli.parser import add_command, parse_config
from prefrepro.errors import UserError, nearest
from prefrepro.jobs.model_card import write_card
from prefrepro.plan.build import make_plan
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def add_parser(commands: Any) -> None:
    """Add `push` to the subcommands of `prefrepro`."""
    parser = add_command(
        commands,
        "push",
        "push a run's model, with its card, to the Hugging Face hub",
        """
        prefrepro push dpo_mistral-7b_hh_a5976841 --repo me/my-dpo --dry-run   lists the files
        prefrepro push dpo_mistral-7b_hh_a5976841 scale=pocket --repo me/my-dpo --private
        """,
    )
    parser.add_argument("run", help="a run's id: its folder below results/<scale>/runs/")
    parser.add_argument("config", nargs="*", metavar="KEY=VALUE", help="what it was run with, as for --config")
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="made where it is not there")
    parser.add_argument("--private", action="store_true", help="where it is made, for your eyes only")
    parser.add_argument("--dry-run", action="store_true", help="list the files, and write the card here alone")
    parser.add_argument("--json", action="store_true", help="files, sizes and, once pushed, the URL as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Write the card anew, then list or push. Raises UserError for what is no finished run, or no name."""
    from prefrepro.inspect.push import files_of, push, size_of

    if not REPO.fullmatch(arguments.repo):
        raise UserError(f'--repo is "{arguments.repo}"; expected USER/NAME, such as me/my-dpo')
    plan = make_plan(parse_config(arguments.config))
    node = _node(plan, arguments.run)
    files_of(plan.results / node.folder)  # is it finished? before anything is written
    write_card(plan, node)
    files = files_of(plan.results / node.folder)
    url = (
        None if arguments.dry_run else push(files, arguments.repo, private=arguments.private, message=f"Add {node.id}")
    )
    sizes = {name: size_of(content) for name, content in files.items()}
    if arguments.json:
        json.dump({"repo": arguments.repo, "files": sizes, "url": url}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    for name, size in sizes.items():
        sys.stdout.write(f"{size:>12,} {name}\n")
    done = f"would go to {arguments.repo}" if arguments.dry_run else f"are at {url}"
    sys.stdout.write(f"{sum(sizes.values()):>12,} bytes {done}\n")


def _node(plan: Plan, run_id: str) -> Node:
    known = [node.id for node in plan.of_kind(*TRAININGS)]
    if run_id in known:
        return plan.nodes[run_id]
    finished = [one for one in known if (plan.results / plan.nodes[one].done).is_file()]
    stem = run_id.rpartition("_")[0]
    now = [one for one in finished if one.rpartition("_")[0] == stem]
    hint = f" Finished, and of this name: {', '.join(now)}." if now else nearest(run_id, finished)
    raise UserError(
        f'"{run_id}" is no training of the plan ({" ".join(plan.config.arguments()) or "default config"}): code or '
        f"config changed since, or it was made with other settings: name them as KEY=VALUE.{hint}"
    )
