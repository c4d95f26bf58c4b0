"""How a subcommand of `prefrepro` is made: one line of help, examples, and a suggestion where a word is misspelt."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from prefrepro.errors import UserError, nearest


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
    """The parser of the commands: its help is a list that fits a screen, one line each."""

    def format_help(self) -> str:
        """Usage, what it is for, each command with its description, and the rest in two lines."""
        listed = [f"  {name:14} {str(parser.description).rstrip('.')}" for name, parser in self.commands().items()]
        parts = [f"usage: {self.prog} COMMAND …", "", self.description, "", *listed, "", self.epilog, ""]
        return "\n".join(map(str, parts))


def add_command(commands: Any, name: str, about: str, examples: str, more: str = "") -> Parser:
    """A parser added to the subcommands `commands`. `examples`: lines «prefrepro NAME …   what it does»."""
    listed = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return commands.add_parser(name, help=about, description=f"{about}.", epilog=f"examples:\n{listed}\n{more}")


def parse_config(pairs: list[str]) -> dict[str, str]:
    """KEY=VALUE arguments as a mapping. Raises UserError."""
    config = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UserError(f'"{pair}" is no KEY=VALUE, such as scale=embedded')
        config[key] = value
    return config
