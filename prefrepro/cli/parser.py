"""What the commands of `prefrepro` share: subcommands with examples, the words of a config, JSON, recorded files."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from prefrepro.errors import UserError, nearest
from prefrepro.jobs.record import now, record_files
from prefrepro.plan.build import make_plan
from prefrepro.plan.plan import Plan
from prefrepro.specs.config import make_config

TYPES = {"path": Path, "int": int, "float": float}


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
        """Print usage and message on stderr, as argparse does, and exit with code 2."""
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message += "." + nearest(found[1], re.findall(r"[^\s',]+", found[2]))
        super().error(message)


class Commands(Parser):
    """The parser of the commands: its help is a list that fits a screen, one line for each command."""

    groups: Mapping[str, Sequence[str]] = {}
    """Title -> the commands below it"""

    def format_help(self) -> str:
        """Usage, purpose, each command with its description, by group, and the epilog."""
        parsers, listed = self.commands(), list[str]()
        for title, names in self.groups.items():
            listed += [f"{title}:", *(f"  {n:14} {str(parsers[n].description).rstrip('.')}" for n in names)]
        parts = [f"usage: {self.prog} COMMAND …", self.description, *listed, "", self.epilog, ""]
        return "\n".join(map(str, parts))


def add_commands(commands: Any, described: dict[str, Any], shared: dict[str, Any]) -> None:
    """Add the commands, and the commands below them, that commands.yaml describes."""
    for name, command in described.items():
        about, text = (
            command["about"],
            f"examples:\n{textwrap.indent(command['examples'], '  ')}{command.get('more', '')}",
        )
        parser = commands.add_parser(name, help=about, description=f"{about}.", epilog=text)
        if "commands" in command:
            below = parser.add_subparsers(dest=f"{name}_command", required=True, metavar="COMMAND", title="commands")
            add_commands(below, command["commands"], shared)
        else:
            parser.set_defaults(run_command=command["run"])
            _add_arguments(parser, command["arguments"], shared)


def _add_arguments(parser: Any, arguments: dict[str, Any], shared: dict[str, Any]) -> None:
    for name, given in arguments.items():
        if name == "either":
            _add_arguments(parser.add_mutually_exclusive_group(), given, shared)
        elif given is None:
            _add_arguments(parser, shared[name], shared)
        elif isinstance(given, str):
            parser.add_argument(name, action="store_true", help=given)
        else:
            parser.add_argument(name, **given | ({"type": TYPES[given["type"]]} if "type" in given else {}))


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
    """The plan and the targets that TARGET and KEY=VALUE words name. Raises UserError."""
    settings, named = [word for word in arguments.words if "=" in word], split(arguments.words)[1]
    plan = plan_of(settings, arguments.scale)
    return plan, plan.targets(named)


def results_folder(words: list[str], scale: str | None = None) -> Path:
    """The folder that a word names, or the results of the scale that KEY=VALUE words set. Raises UserError."""
    given, folders = split(words)
    if len(folders) > 1:
        raise UserError(f"{len(folders)} folders are named, {' and '.join(folders)}; expected one")
    return Path(folders[0]) if folders else Path("results", scale or make_config(given).scale)


def plan_of(pairs: list[str], scale: str | None = None) -> Plan:
    """The plan of KEY=VALUE pairs. Raises UserError."""
    return make_plan(parse_config(pairs) | ({"scale": scale} if scale else {}))


def write_json(value: Any) -> None:
    """Print indented JSON."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def tell(as_json: bool, content: dict[str, Any], template: str, **more: Any) -> None:
    """Print `content` as JSON, or as the text that a template of this folder makes of it, with `more` for its words."""
    if as_json:
        write_json(content)
    else:
        from prefrepro.tables.template import fill_template  # jinja2: not needed for a help page

        path = Path(__file__).parent / "templates" / f"{template}.txt"
        sys.stdout.write(fill_template(path, content | more))


@contextlib.contextmanager
def recorded(results: Path, name: str, files: list[str]) -> Iterator[None]:
    """Record `files` (paths below `results`) once the work inside has written them; an OSError becomes a UserError."""
    started = now()
    try:
        yield
        record_files(results, name, files, started)
    except OSError as error:
        raise UserError(f"{results}: {error}") from error
