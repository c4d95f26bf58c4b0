"""prefrepro push: push a run's model, with its card, to the Hugging Face hub."""

from __future__ import annotations

import argparse
import re

from prefrepro.cli.parser import plan_of, write_json
from prefrepro.errors import UserError
from prefrepro.inspect.push import files_of, push
from prefrepro.jobs.model_card import write_card
from prefrepro.plan.kinds import TRAININGS

REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def run(arguments: argparse.Namespace) -> None:
    """Write the card again, then list the files or push them. Raises UserError for an unfinished run or a bad name."""
    if not REPO.fullmatch(arguments.repo):
        raise UserError(f'--repo is "{arguments.repo}"; expected USER/NAME, such as me/my-dpo')
    plan = plan_of(arguments.config)
    node = plan.node(arguments.run)
    if node.kind not in TRAININGS:
        raise UserError(f"{node.id} is of kind {node.kind}; expected one that trains a model: {', '.join(TRAININGS)}")
    files_of(plan.results / node.folder)  # refuses an unfinished run before anything is written
    write_card(plan, node)
    files = files_of(plan.results / node.folder)
    sizes = {name: len(one) if isinstance(one, bytes) else one.stat().st_size for name, one in files.items()}
    url = None
    if not arguments.dry_run:
        url = push(files, arguments.repo, private=arguments.private, message=f"Add {node.id}")
    if arguments.json:
        write_json({"repo": arguments.repo, "files": sizes, "url": url})
        return
    for name, size in sizes.items():
        print(f"{size:>12,} {name}")
    print(f"{sum(sizes.values()):>12,} bytes {f'are at {url}' if url else f'would go to {arguments.repo}'}")
