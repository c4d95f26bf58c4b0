"""prefrepro report: the command line, and where the page goes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prefrepro.cli.parser import add_command, parse_config
from prefrepro.errors import UserError
from prefrepro.files import write_text
from prefrepro.jobs.record import now, record_files
from prefrepro.specs.config import make_config

NAME = "report.html"
EXAMPLES = """
prefrepro report                           results/embedded/report.html
prefrepro report results/paper --out FILE  of another folder, to another place
"""


def add_parser(commands: Any) -> None:
    """Add `report` to the subcommands of `prefrepro`."""
    add_arguments(add_command(commands, "report", "write one HTML page of what a results folder holds", EXAMPLES))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `prefrepro report` and `python -m prefrepro.inspect.report`."""
    parser.add_argument(
        "words", nargs="*", metavar="RESULTS | KEY=VALUE", help="results/embedded, …; settings as for --config"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the folder")


def run(arguments: argparse.Namespace) -> Path:
    """Write the page of what is there, building nothing, and return its path; in its folder it is recorded as well.

    Raises UserError.
    """
    from prefrepro.inspect.report.folder import read_folder  # pandas: not needed for a help page
    from prefrepro.inspect.report.page import document, render

    given = parse_config([word for word in arguments.words if "=" in word])
    folders = [Path(word) for word in arguments.words if "=" not in word]
    if len(folders) > 1:
        raise UserError(f"{len(folders)} folders are named, {' and '.join(map(str, folders))}; expected one")
    folder = folders[0] if folders else Path("results") / make_config(given).scale
    out, started = arguments.out or folder / NAME, now()
    try:
        write_text(out, render(document(read_folder(folder, given))))
        if out.resolve() == (folder / NAME).resolve():
            record_files(folder, "report", [NAME], started)
    except OSError as error:
        raise UserError(f"{out}: {error}") from error
    return out
