"""The page of the command line: the help of every command, and the exit codes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from prefrepro.cli.main import EXIT_CODES, build_parser
from prefrepro.cli.parser import Parser

WIDTH = "100"


def command_pages() -> dict[str, str]:
    """Path -> Markdown."""
    os.environ["COLUMNS"] = WIDTH  # argparse asks the terminal otherwise
    codes = "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| {code} | {said} |" for code, said in EXIT_CODES.items())]
    )
    intro = (
        "`snakemake` runs things; `prefrepro` looks at what will be and what was. Where a program would read the "
        "answer, `--json` writes it as JSON. Errors go to stderr and say what was found, what was expected, where, and "
        "what to do next."
    )
    complete = "```bash\nsource <(prefrepro --print-completion bash)   # or zsh, tcsh, fish\n```"
    parts = ["# Command line", intro, "## Exit codes", codes, "## Completion", complete]
    for name, parser in parsers(build_parser()):
        parts += [f"## {name}", f"```text\n{parser.format_help().rstrip()}\n```"]
    return {"cli.md": "\n\n".join(parts) + "\n"}


def parsers(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command by its full name: «plan», «judge probe». A command that only groups others is left out."""
    found = parser.commands() if isinstance(parser, Parser) else {}
    for name, command in found.items():
        inner = list(parsers(command, f"{path}{name} "))
        yield from inner or [(f"{path}{name}", command)]
