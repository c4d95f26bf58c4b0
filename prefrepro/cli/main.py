"""prefrepro: look at the plan and at results, write and check methods. To run: snakemake table1"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import shtab

from prefrepro.cli.parser import Commands, Parser, add_commands
from prefrepro.errors import exit_on_user_error
from prefrepro.specs.files import read_mapping

COMMANDS = Path(__file__).with_name("commands.yaml")
EXIT_INTERRUPTED = 130
EXIT_CODES = {
    0: "done",
    1: "a check failed (check, verify, diff, judge probe); with a traceback: a bug of ours",
    2: "the request cannot be carried out; the message on stderr says what to change",
    EXIT_INTERRUPTED: "interrupted (Ctrl-C)",
}
EPILOG = """COMMAND --help has examples. Tab completion: source <(prefrepro --print-completion bash), or zsh, …
Exit codes: 0 done, 1 a check failed, 2 something in the input must be changed, 130 interrupted."""


def main() -> None:
    """Entry point of the `prefrepro` command."""
    try:
        exit_on_user_error(_main)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


def _main() -> None:
    arguments = build_parser().parse_args()
    module, _, function = arguments.run_command.partition(".")
    getattr(importlib.import_module(f"prefrepro.cli.{module}"), function)(arguments)


def build_parser() -> Parser:
    """The whole command line; the documentation's page and shell completion are made from it too."""
    content = read_mapping(COMMANDS)
    parser = Commands(prog="prefrepro", description=__doc__, epilog=EPILOG)
    parser.groups = content["help"]
    shtab.add_argument_to(parser, "--print-completion", help="a script that lets a shell complete these words")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    add_commands(commands, content["commands"], content["shared"])
    return parser
