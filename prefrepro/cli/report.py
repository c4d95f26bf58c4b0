"""prefrepro report: write one HTML page of what a results folder holds."""

from __future__ import annotations

import argparse
import contextlib

from prefrepro.cli.parser import recorded, results_folder, split
from prefrepro.errors import UserError
from prefrepro.files import write_text
from prefrepro.inspect.report.folder import read_folder
from prefrepro.inspect.report.page import document, render

NAME = "report.html"


def run(arguments: argparse.Namespace) -> None:
    """Write the page from what is there and print its path; nothing is built. A page in its own folder is recorded.

    Raises UserError.
    """
    folder, (given, _) = results_folder(arguments.words), split(arguments.words)
    out = arguments.out or folder / NAME
    is_own = out.resolve() == (folder / NAME).resolve()
    with recorded(folder, "report", [NAME]) if is_own else contextlib.nullcontext():
        page = render(document(read_folder(folder, given)))
        try:
            write_text(out, page)
        except OSError as error:
            raise UserError(f"{out}: {error}") from error
    print(out)
