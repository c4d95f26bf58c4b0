"""What the commands of `prefrepro` share: subcommands with examples, the words of a config, JSON, recorded files."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from prefrepro.errors import UserError, nearest
from prefrepro.jobs.record import now, record_files
from prefrepro.plan.build import make_plan
from prefrepro.plan.plan import Plan


class Parser(argparse.ArgumentParser):
    """Shows its text as written, and suggests the choice that was meant."""

    def commands(self) -> dict[str, argparse.ArgumentParser]:
        """Its subcommands by name."""
        found = (action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction))
        return {name: parser for choices in found for name, parser in choices.items()}

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        keywords.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **keywords)

    def error(self, message: str) -> NoReturn:
        """As argparse: usage and message on stderr, exit code 2."""
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message += "." + nearest(found[1], re.findall(r"[^\s',]+", found[2]))
        super().error(message)


class Commands(Parser):
    """The parser of the commands: its help is a list that fits a screen, one line for each command."""

    def format_help(self) -> str:
        """Usage, purpose, each command with its description, and the epilog."""
        listed = [f"  {name:14} {str(parser.description).rstrip('.')}" for name, parser in self.commands().items()]
        parts = [f"usage: {self.prog} COMMAND …", self.description, *listed, "", self.epilog, ""]
        return "\n".join(map(str, parts))


def add_command(commands: Any, name: str, about: str, examples: str, more: str = "") -> Parser:
    """Add a subcommand. `examples`: lines «prefrepro NAME …   what it does»; `more` stands below them."""
    listed = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return commands.add_parser(name, help=about, description=f"{about}.", epilog=f"examples:\n{listed}\n{more}")


def add_module(commands: Any, module: ModuleType) -> None:
    """Add the command of a module: «prefrepro NAME: ABOUT.» in its docstring, EXAMPLES, arguments, and `run`."""
    name, _, about = str(module.__doc__).partition("\n")[0].removeprefix("prefrepro ").partition(": ")
    parser = add_command(commands, name, about.rstrip("."), module.EXAMPLES, getattr(module, "MORE", ""))
    parser.set_defaults(run_command=module.run)
    module.add_arguments(parser)


def add_config(parser: argparse.ArgumentParser, name: str = "config", **keywords: Any) -> None:
    """Add KEY=VALUE words, which `plan_of` reads."""
    parser.add_argument(name, nargs="*", metavar="KEY=VALUE", help="settings as for snakemake --config", **keywords)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add words that name tables or settings, and --scale; `plan_and_targets` reads them."""
    words = "table4 …, default: tables; settings as for --config"
    parser.add_argument("words", nargs="*", metavar="TARGET | KEY=VALUE", help=words)
    parser.add_argument("--scale", help="the same as scale=…")


def parse_config(pairs: list[str]) -> dict[str, str]:
    """KEY=VALUE arguments as a mapping. Raises UserError."""
    config = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UserError(f'"{pair}" is no KEY=VALUE, such as scale=embedded')
        config[key] = value
    return config


def split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The config that KEY=VALUE words give, and the other words."""
    return parse_config([word for word in words if "=" in word]), [word for word in words if "=" not in word]


def plan_and_targets(arguments: argparse.Namespace) -> tuple[Plan, list[str]]:
    """The plan and the targets that the words of `add_targets` name. Raises UserError."""
    config, named = split(arguments.words)
    plan = make_plan(config | ({"scale": arguments.scale} if arguments.scale else {}))
    return plan, plan.targets(named)


def plan_of(pairs: list[str]) -> Plan:
    """The plan of KEY=VALUE pairs. Raises UserError."""
    return make_plan(parse_config(pairs))


def write_json(value: Any) -> None:
    """Print indented JSON."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


@contextlib.contextmanager
def recorded(results: Path, name: str, files: list[str]) -> Iterator[None]:
    """Record `files` (paths below `results`) once the work inside has written them; an OSError becomes a UserError."""
    started = now()
    try:
        yield
        record_files(results, name, files, started)
    except OSError as error:
        raise UserError(f"{results}: {error}") from error
