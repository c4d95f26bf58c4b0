"""prefrepro: look at the plan and at results, write and check methods. To run: snakemake table1"""

from __future__ import annotations

import sys

import shtab

from prefrepro.cli import (
    audit,
    calibration,
    check,
    collect,
    diff,
    explain,
    figures,
    forecast,
    frontier,
    import_samples,
    judge,
    new_method,
    plan,
    push,
    report,
    show,
    show_batch,
    simulate,
    theory,
    verify,
    watch,
)
from prefrepro.cli.parser import Commands, Parser, add_module
from prefrepro.errors import exit_on_user_error

COMMANDS = (
    plan, forecast, simulate, watch, show, show_batch, collect, report, explain, verify, diff, import_samples, push,
    new_method, check, judge, calibration, audit, theory, figures, frontier,
)  # fmt: skip
"""One module each, in the order of the help page."""
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
        sys.exit(EXIT_INTERRUPTED)


def _main() -> None:
    arguments = build_parser().parse_args()
    arguments.run_command(arguments)


def build_parser() -> Parser:
    """The whole command line; the documentation's page and shell completion are made from it too."""
    parser = Commands(prog="prefrepro", description=__doc__, epilog=EPILOG)
    shtab.add_argument_to(parser, "--print-completion", help="a script that lets a shell complete these words")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        add_module(commands, command)
    return parser
